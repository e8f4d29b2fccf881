"""The command line's options, made from the settings that they fill.

Flag, help text, default and range of an option are those of its setting (`curate.schemas.sections`). A verb says which
groups of options it takes and receives the resolved settings:

    @app.command()
    @takes("corpus", "scoring")
    def score(settings: Settings, as_json: AsJson = False) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.flows.cli import interrupts
from curate.flows.cli.method_options import METHOD_OPTIONS
from curate.flows.cli.option import Option
from curate.flows.cli.typed import READERS
from curate.storage.warehouse.permissions import private_files

if TYPE_CHECKING:
    from collections.abc import Callable

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def _section(section: str, names: str) -> tuple[Option, ...]:
    """Return the options of the settings `names`, separated by spaces, of one section."""
    return tuple(Option(f"{section}.{name}".lstrip(".")) for name in names.split())


LAYOUT = _section("score", "max_length template dtype device")
"""How a model sees a conversation and where it runs: the same for scoring and for recovery."""

QUESTIONS = (
    Option("evaluate.tasks", words="choice:FILE of multiple-choice questions; repeatable."),
    Option("evaluate.limit", words="Items of each task, from its beginning."),
)
"""The tasks of a diagnosis, which reads one kind only."""

GROUPS: dict[str, tuple[Option, ...]] = {
    "run": _section("", "warehouse threads lock_timeout verify shared"),
    "engine": _section("", "engine cpus_per_worker ship_models"),
    "files": _section("", "allow_files"),
    "seed": _section("", "seed"),
    "corpus": (*_section("", "corpus"), *_section("ingest", "format map licence part_rows")),
    "clustering": (*_section("embed", "encoder encoder_dtype"), *_section("cluster", "n_clusters refit")),
    "models": _section("", "original compressed trust_remote_code trust_pickle"),
    "trust": _section("", "trust_pickle"),
    "layout": LAYOUT,
    "scoring": (
        *LAYOUT,
        *_section("score", "workers batch_tokens probe_lr layers ifd sketch sequential teacher_cache"),
    ),
    "asking": (
        *_section("evaluate", "tasks limit max_new_tokens option_layout normalise"),
        *_section("evaluate", "judge metric by decontaminate part_items"),
    ),
    "comparing": (
        *_section("compare", "methods budgets recipes seeds own_epochs"),
        Option("recover.method", ("--recovery",)),
        *_section("recover", "learning_rate epochs batch reconstruct teacher teacher_weight"),
    ),
    "selecting": _section("select", "budget method pin exclude near_duplicates decontaminate"),
    "recovering": (
        *_section(
            "recover", "method learning_rate epochs batch schedule warmup rank alpha dropout parts merge save_dtype"
        ),
        *_section("recover", "reconstruct teacher teacher_weight tokens prompts reweigh layers elastic"),
        *_section("score", "teacher_cache"),
        *_section("recover", "batch_tokens processes gradient_checkpointing checkpoint_steps heldout"),
        *_section("recover", "targets keep_reference"),
    ),
    "sampling": (
        *_section("sample", "model best_of accept threshold temperature max_new_tokens"),
        *_section("sample", "prune_at prune_keep part_items"),
        *_section("select", "decontaminate"),
        *LAYOUT,
        *_section("score", "workers"),
    ),
    "targets": _section("recover", "targets keep_reference"),
    "diagnosing": (
        *_section("diagnose", "rows leave_one_out"),
        *_section("", "original trust_remote_code trust_pickle"),
    ),
    "expert-diagnosis": (
        *_section("diagnose", "rows by"),
        *_section("", "trust_remote_code trust_pickle"),
    ),
    "wording": (
        *QUESTIONS,
        *_section("evaluate", "normalise"),
        *_section("diagnose", "prompts keep length"),
        *_section("score", "batch_tokens"),
        *_section("", "original trust_remote_code trust_pickle"),
    ),
    "path-search": (
        *QUESTIONS,
        *_section("diagnose", "simulations held_out"),
        *_section("", "trust_remote_code trust_pickle"),
    ),
    "compressing": _section("compress", "by path experts_by order multiple compensate bits"),
    "method": METHOD_OPTIONS,
}


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a verb the options of the groups `names` and hands it the resolved settings.

    The verb's first parameter is ``settings``; its other parameters stay options of its own.
    """
    chosen = [(name, option) for name in names for option in GROUPS[name]]

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        # Settings stay unevaluated: resolving them imports more than --help needs.
        del verb.__annotations__["settings"]
        own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]
        added = [option.parameter(f"Options: {name}") for name, option in chosen]

        @functools.wraps(verb)
        def called(**typed: Any) -> None:
            from curate.schemas.settings import resolve

            flags: dict[str, Any] = {}
            for _, option in chosen:
                _put(flags, option, typed.pop(option.name))
            settings = resolve(flags)
            interrupts.handle(interrupts.raise_once)
            with private_files(settings.shared):
                verb(settings, **typed)

        called.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
        return called

    return decorate


def _put(flags: dict[str, Any], option: Option, value: Any) -> None:
    """Set the option's place in the nested `flags`, if it was typed at all."""
    if value is None or value is False or value == []:
        return
    *sections, key = option.path.split(".")
    for section in sections:
        flags = flags.setdefault(section, {})
    flags[key] = READERS[option.typed.syntax](value)
