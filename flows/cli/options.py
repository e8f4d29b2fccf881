"""The command line's options: each defined once, with the setting that it fills.

A verb says which groups of options it takes and receives the resolved settings:

    @app.command()
    @takes("corpus", "scoring")
    def score(settings: Settings, as_json: AsJson = False) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass(frozen=True)
class Option:
    """One option of the command line."""

    path: str
    """The setting that it fills, sections separated by dots: ``"score.max_length"``."""
    type: Any
    help: str
    flags: tuple[str, ...] = ()
    """Flags other than the setting's own name with dashes."""
    read: Callable[[Any], Any] | None = None
    """Turns what was typed into the setting's value."""

    @property
    def name(self) -> str:
        """Name of the Python parameter."""
        return self.path.rpartition(".")[2] + "_"

    def parameter(self, panel: str) -> inspect.Parameter:
        """Return the option as a parameter that Typer understands; absent unless typed."""
        flags = self.flags or ("--" + self.name.strip("_").replace("_", "-"),)
        absent: Any = False if self.type is bool else None
        kind: Any = bool if self.type is bool else self.type | None
        annotation: Any = Annotated[kind, typer.Option(*flags, help=self.help, rich_help_panel=panel)]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=absent, annotation=annotation)


def column_map(pairs: list[str]) -> dict[str, str]:
    """Return ``{"response": "answer"}`` from ``["response=answer"]``.

    Raises
    ------
    UsageError
        If a pair has no ``=``, or a role is given twice.
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        role, equals, column = pair.partition("=")
        if not (equals and role and column) or role in columns:
            raise UsageError(f"--map {pair!r} is not role=column, each role once; for example --map response=answer")
        columns[role] = column
    return columns


def comma_separated(text: str) -> tuple[str, ...]:
    """Return the words of a list separated by commas, in their order, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def example_ids(values: list[str]) -> tuple[str, ...]:
    """Return example ids from options, each an id or ``@file`` with one id a line.

    Raises
    ------
    InputError
        If such a file cannot be read.
    """
    found: list[str] = []
    for value in values:
        if not value.startswith("@"):
            found.append(value)
            continue
        try:
            found += Path(value[1:]).read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read example ids from {value[1:]!r}: {error}") from error
    return tuple(found)


LAYOUT = (
    Option("score.max_length", int, "Tokens kept of a conversation. [512]"),
    Option("score.template", str, "auto, chat or plain. [auto]"),
    Option("score.dtype", str, "auto, float32, bfloat16 or float16. [auto]"),
    Option("score.device", str, "auto, cpu, cuda, cuda:1; a pair may have two: cuda:0,cuda:1. [auto]"),
)
"""How a model sees a conversation and where it runs: the same for scoring and for recovery."""

TRUST_PICKLE = Option("trust_pickle", bool, "Open a pickled model, which can run any code, and convert it.")

GROUPS: dict[str, tuple[Option, ...]] = {
    "run": (
        Option("warehouse", Path, "Folder of all artefacts. [warehouse]", ("--warehouse", "-w")),
        Option("threads", int, "CPU threads. [all]"),
        Option("lock_timeout", float, "Seconds to wait for another run's lock. [3600]"),
    ),
    "seed": (Option("seed", int, "Seed of everything random. [0]"),),
    "corpus": (
        Option("corpus", list[str], "File, folder or hub:name of instructions; repeatable.", ("--corpus", "-c")),
        Option("ingest.format", str, "Shape of the rows; detected where not given."),
        Option("ingest.map", list[str], "role=column, as in response=answer; repeatable.", read=column_map),
        Option("ingest.licence", str, "Licence of the rows."),
        Option("ingest.part_rows", int, "Rows per part, the unit of resuming. [4096]"),
    ),
    "clustering": (
        Option("embed.encoder", str, "minilm, a local folder or a hub name. [minilm]"),
        Option("embed.encoder_dtype", str, "What the encoder computes in: float32 or bfloat16. [float32]"),
        Option("cluster.n_clusters", int, "Number of clusters; found where not given.", ("--clusters",)),
        Option("cluster.refit", bool, "Cluster a grown corpus anew instead of assigning its new rows."),
    ),
    "models": (
        Option("original", str, "The model before compression: a folder or a hub name."),
        Option(
            "compressed", str, "The compressed model, or the one that is to be trained.", ("--compressed", "--model")
        ),
        Option("trust_remote_code", bool, "Run code that comes with a model."),
        TRUST_PICKLE,
    ),
    "trust": (TRUST_PICKLE,),
    "scoring": (
        *LAYOUT,
        Option("score.workers", int, "Processes that share the parts. [one per GPU with auto or cuda; 1 on a CPU]"),
        Option("score.batch_tokens", int, "Tokens of one forward pass."),
        Option("score.probe_lr", float, "Step size of DON and NOD. [1e-4]"),
        Option("score.layers", str, "DON and NOD of output or all layers. [output]"),
        Option("score.ifd", bool, "Also compute ifd, in a second pass."),
        Option("score.sequential", bool, "One model in memory at a time."),
        Option("score.teacher_cache", str, "What --sequential keeps: exact, or topk=256 (cds approximate). [exact]"),
    ),
    "asking": (
        Option("evaluate.tasks", list[str], "FILE or kind:FILE; repeatable; docs/evaluation.md.", ("--tasks", "-t")),
        Option("evaluate.limit", int, "Items of each task. [all]"),
        Option("evaluate.max_new_tokens", int, "Longest generated answer. [64]"),
        Option("evaluate.judge", str, "Model, folder or hub name, that reads the answers of judged tasks. [none]"),
        Option("evaluate.metric", str, "score or token_accuracy: what retention is a ratio of. [score]"),
        Option("evaluate.by", str, "group, or cluster: that of the nearest row of --corpus. [group]"),
        Option(
            "evaluate.decontaminate",
            bool,
            "Ask also what stands in the corpus.",
            ("--no-decontaminate",),
            read=lambda _: False,
        ),
        Option("evaluate.part_items", int, "Items per part, the unit of resuming. [512]"),
    ),
    "comparing": (
        Option(
            "compare.methods",
            str,
            "Methods, with options after colons: paser,paser:rank=random. [paser,donod,anchored]",
            read=comma_separated,
        ),
        Option("compare.budgets", str, "Budgets, separated by commas. [0.1]", read=comma_separated),
        Option("compare.seeds", int, "Seeds of every method and budget, from 0. [5]"),
        Option("compare.own_epochs", bool, "Also train on everything for as many passes, at its own cost."),
        Option("recover.method", str, "auto, lora, mask_lora, scale_lora, perp or full. [auto]", ("--recovery",)),
        Option("recover.learning_rate", float, "Peak learning rate of training. [the method's own]"),
        Option("recover.epochs", float, "Passes over a budget's worth of tokens. [2]"),
        Option("recover.batch", int, "Rows of one optimiser step. [64; 32 on the demo]"),
    ),
    "selecting": (
        Option("select.budget", str, "0.1, 10%, 5000 (rows) or 2M-tokens. [0.1]", ("--budget", "-b")),
        Option("select.method", str, "How rows are preferred; docs/methods.md. [paser]", ("--method", "-m")),
        Option("select.pin", list[str], "Example id, or @file of ids, to keep; repeatable.", read=example_ids),
        Option("select.exclude", list[str], "Example id, or @file of ids, never to keep.", read=example_ids),
        Option("select.near_duplicates", list[str], "Keep one row of each: lexical or semantic; repeatable."),
        Option("select.decontaminate", list[str], "Evaluation file whose questions to keep out; repeatable."),
    ),
    "layout": LAYOUT,
    "recovering": (
        Option("recover.method", str, "auto, lora, mask_lora, scale_lora, perp or full. [auto]", ("--method", "-m")),
        Option("recover.learning_rate", float, "Peak learning rate. [the method's own]"),
        Option("recover.epochs", float, "Passes over the selection. [2]"),
        Option("recover.batch", int, "Rows of one optimiser step. [64]"),
        Option("recover.schedule", str, "cosine or linear. [cosine]"),
        Option("recover.warmup", float, "Share of the steps over which the rate rises. [0.05]"),
        Option("recover.rank", int, "Rank of the low-rank methods. [8]"),
        Option("recover.alpha", float, "Scale of lora and mask_lora times the rank. [16]"),
        Option("recover.dropout", float, "Dropout of lora. [0.05]"),
        Option("recover.parts", str, "perp: any of biases,norms,head. [all]", read=comma_separated),
        Option("recover.merge", bool, "Keep the adapter separate.", ("--no-merge",), read=lambda _: False),
        Option("recover.reconstruct", bool, "First bring each layer near the original's output."),
        Option("recover.teacher", str, "original: also learn its predictions on the response. [none]"),
        Option("recover.teacher_weight", float, "Share of the teacher's divergence in the loss. [0.5]"),
        Option("score.teacher_cache", str, "What is kept of the teacher: exact, or topk=256 (a lower bound). [exact]"),
        Option("recover.batch_tokens", int, "Tokens of one forward pass."),
        Option("recover.processes", int, "Processes that share every step. [one for each GPU]"),
        Option("recover.gradient_checkpointing", bool, "Less memory, about a third more time."),
        Option("recover.checkpoint_steps", int, "Steps between two checkpoints. [50]"),
        Option("recover.heldout", str, "Rows whose perplexity is measured. [rows that were not selected]"),
    ),
    "method": (
        Option(
            "select.options.allocation",
            str,
            "paser: degradation, proportional, uniform or recoverability; donod: all but uniform.",
        ),
        Option("select.options.rank", str, "paser: ies, donod or random; anchored: random, ies or excess."),
        Option("select.options.consistency", str, "paser: expected, strict, soft or off. [expected]"),
        Option("select.options.expectation", float, "paser: rows by chance from which a pair conflicts. [3]"),
        Option(
            "select.options.fill",
            bool,
            "paser: leave a budget unspent rather than take conflicting rows.",
            ("--no-fill",),
            read=lambda _: False,
        ),
        Option("select.options.filter", str, "paser: set the worst rows aside first by don or nod. [none]"),
        Option("select.options.filter_share", float, "paser: share of rows that --filter sets aside. [0.1]"),
        Option("select.options.don_weight", float, "donod: weight of DON in TOPSIS, NOD has the rest. [0.5]"),
        Option("select.options.normalise", str, "donod: vector, winsor or rank. [vector]"),
        Option("select.options.don_direction", str, "donod: default or literal. [default]"),
        Option("select.options.stratify", str, "donod: none or clusters. [none]"),
        Option("select.options.anchor_share", float, "anchored: share of unlikely rows set aside. [0.3]"),
        Option("select.options.signal", str, "by-signal: an imported signal, or one of ours such as entropy."),
        Option("select.options.prefer", str, "by-signal: which end to keep, high or low. [high]"),
        Option("select.options.source", str, "by-signal: scores artefact of the import. [the newest that has it]"),
        Option("select.options.like", str, "length-matched: selection to match. [the latest of another method]"),
        Option("select.options.bin_tokens", int, "length-matched: width of a length bin. [16]"),
    ),
}


def takes(*groups: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a verb the options of `groups` and hands it the resolved settings.

    The verb's first parameter is ``settings``; its other parameters stay options of its own.
    """
    chosen = [(group, option) for group in groups for option in GROUPS[group]]

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        # Settings stay unevaluated: pydantic, slow to import, is not needed for --help.
        del verb.__annotations__["settings"]
        own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]
        added = [option.parameter(f"Options: {group}") for group, option in chosen]

        @functools.wraps(verb)
        def called(**typed: Any) -> None:
            from curate.schemas.settings import resolve

            flags: dict[str, Any] = {}
            for _, option in chosen:
                _put(flags, option, typed.pop(option.name))
            verb(resolve(flags), **typed)

        called.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
        return called

    return decorate


def _put(flags: dict[str, Any], option: Option, typed: Any) -> None:
    """Set the option's place in the nested `flags`, if it was typed at all."""
    if typed is None or typed is False or typed == []:
        return
    *sections, key = option.path.split(".")
    for section in sections:
        flags = flags.setdefault(section, {})
    flags[key] = option.read(typed) if option.read else typed
