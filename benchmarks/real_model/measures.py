"""What is measured of a model: three choices among options, and its divergence from the original on held-out rows.

A measure is a table with one line for each item: `value`, which is 1 for a right answer and 0 for a wrong one, or nats,
and `weight`, the tokens that a divergence sums over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from curate.engines.evaluate import EvaluateConfig, evaluate
from curate.engines.evaluate.subject import load_subject
from curate.schemas.evaluation import ITEMS
from curate.storage.inputs.task_files import TaskFile, read_items
from real_model.rows import multiple_choice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from curate.engines.evaluate.subject import Subject
    from real_model.plan import Size
    from real_model.rows import Row, TrialRows

RESULTS = pa.schema([("measure", pa.string()), ("item", pa.int32()), ("value", pa.float32()), ("weight", pa.int32())])
"""Columns of a cell's table. A divergence is the measure ``kl:SOURCE``, its value a sum over `weight` tokens."""


@dataclass(frozen=True)
class Tests:
    """The items of a size of the trial, and the rows for the divergence."""

    choices: dict[str, tuple[list[dict[str, Any]], EvaluateConfig]]
    """Items and settings by measure."""
    heldout: Sequence[Row]
    original: Path
    """Folder of the model that divergences are from."""
    states: Path
    """File of the original's last hidden states on the held-out rows, made on first use."""
    device: str = "cpu"
    """Where models are measured, in float32."""


def read_tests(corpora: Path, rows: TrialRows, size: Size, original: Path) -> Tests:
    """Return the tests: ARC-easy as a cloze, OpenBookQA per byte of the option, and continuations of WikiText.

    Of OpenBookQA there are two thirds as many as of ARC-easy, of continuations a third. Fresh items follow those of the
    screening, unless all are taken.
    """
    wikitext = [dict(item) for item in read_items(TaskFile(str(corpora / "wikitext2_valid.txt"), "continuation"))]
    arc, book = (_choices(multiple_choice(corpora, f"{name}_test")) for name in ("arc-easy", "openbookqa"))

    def part(items: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
        if size.items is None:
            return items
        count = round(share * size.items)
        return items[count : 2 * count] if size.fresh else items[:count]

    return Tests({
        "arc-easy": (part(arc, 1), EvaluateConfig(option_layout="cloze")),
        "openbookqa": (part(book, 2 / 3), EvaluateConfig(option_layout="continuation", normalise="bytes")),
        "wikitext": (part(wikitext, 1 / 3), EvaluateConfig(option_layout="continuation")),
    }, rows.heldout, original, rows.folder / "original-states.pt", size.device)  # fmt: skip


def _choices(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return multiple-choice rows as evaluation items."""
    return [
        {"item_id": str(number), "task": "choice", "kind": "choice", "group": "choice", "references": row["choices"],
         "messages": [{"role": "user", "content": row["question"], "tool_call": False}], "answer": row["answer"],
         "chance": 1 / len(row["choices"])}
        for number, row in enumerate(rows)
    ]  # fmt: skip


def measure(folder: Path, tests: Tests) -> pa.Table:
    """Return the results of the model in `folder`, columns `RESULTS`."""
    subject = load_subject(str(folder), device=tests.device, dtype="float32")
    lines = [line for name in tests.choices for line in _asked(subject, name, tests)]
    lines += _divergences(subject, tests)
    return pa.Table.from_pylist(lines, schema=RESULTS)


def _asked(subject: Subject, name: str, tests: Tests) -> Iterator[dict[str, Any]]:
    items, config = tests.choices[name]
    batches = pa.Table.from_pylist(items, schema=ITEMS).to_batches()
    scores = [score for results in evaluate(batches, subject, config) for score in results["score"].to_pylist()]
    for number, score in enumerate(scores):
        yield {"measure": name, "item": number, "value": score, "weight": 1}


@torch.inference_mode()
def _divergences(subject: Subject, tests: Tests) -> Iterator[dict[str, Any]]:
    """Yield the sum over the response's tokens of KL(original ‖ model) in nats, row by row."""
    if not tests.states.exists():
        original = load_subject(str(tests.original), device=tests.device, dtype="float32")
        torch.save([_states(original, row) for row in tests.heldout], tests.states)
        torch.save(original.model.get_output_embeddings().weight, tests.states.with_suffix(".head"))
    head, kept = (torch.load(file, tests.device) for file in (tests.states.with_suffix(".head"), tests.states))
    own = subject.model.get_output_embeddings()
    for number, (row, states) in enumerate(zip(tests.heldout, kept, strict=True)):
        log_p = torch.log_softmax(states @ head.T, dim=-1)
        log_q = torch.log_softmax(own(_states(subject, row)), dim=-1)
        divergence = float((log_p.exp() * (log_p - log_q)).sum())
        yield {"measure": f"kl:{row['source']}", "item": number, "value": divergence, "weight": log_p.shape[0]}


def _states(subject: Subject, row: Row) -> torch.Tensor:
    """Return the last hidden states that predict the response, (tokens, width)."""
    ids, first = _tokens(subject.tokenizer, row)
    states: torch.Tensor = subject.model.base_model(ids.to(subject.model.device)).last_hidden_state[0, first - 1 : -1]
    return states


def _tokens(tokenizer: Any, row: Row) -> tuple[torch.Tensor, int]:
    """Return the ids of a conversation, (1, tokens), and the position where its response begins."""
    prompt = [{"role": "user", "content": row["prompt"]}]
    whole = [*prompt, {"role": "assistant", "content": row["response"]}]
    start = tokenizer(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)).input_ids
    ids = tokenizer(tokenizer.apply_chat_template(whole, tokenize=False), return_tensors="pt").input_ids
    return ids, len(start)
