"""A cell as a part of a task, without a cluster: what training and evaluation give when they are called in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.engines.cell_task import CellTask, CellTraining
from curate.engines.evaluate import EvaluateConfig, evaluate, load_subject
from curate.engines.evaluate.task import EvaluationTask
from curate.engines.recover import recover
from curate.schemas.corpus import MESSAGES, Turn, message_of
from curate.schemas.evaluation import ITEMS
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = ("apple", "two and three", "say hello again yes no", "five")
TURNS = [(Turn("user", "name a fruit"), Turn("assistant", answer)) for answer in ANSWERS]
REQUEST = RecoveryRequest(learning_rate=1e-2, epochs=2, batch=2, rank=2, teacher_weight=0.5, device="cuda")
"""The device is that of the driver; a worker has its own."""


def item(number: int) -> dict[str, Any]:
    fixed: dict[str, Any] = {"task": "t", "kind": "rows", "group": "g", "references": [], "answer": None, "chance": 0.0}
    return {**fixed, "item_id": str(number), "messages": [message_of(turn) for turn in TURNS[number]]}


def test_a_cell_is_training_then_evaluation_whatever_came_before(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    rows = pa.RecordBatch.from_pydict(
        {"messages": pa.array([[message_of(turn) for turn in turns] for turns in TURNS], MESSAGES)}
    )
    items = pa.Table.from_pylist([item(number) for number in range(4)], schema=ITEMS).to_batches(max_chunksize=3)
    original, model = str(tiny[0]), str(tiny[1])
    task = CellTask(EvaluationTask("compressed", EvaluateConfig()), "original", dict(enumerate(items)))
    _, compute = task.with_folders({"compressed": model, "original": original}).open("cpu")
    counted: list[int] = []
    results = [compute(index, CellTraining((rows,), REQUEST), counted.append) for index in range(2)]

    here = RecoveryRequest.from_json({**REQUEST.to_json(), "device": "cpu"})
    report = recover(model, [rows], tmp_path / "trained", here, original=original)
    subject = load_subject(str(tmp_path / "trained"), device="cpu")
    expected = list(evaluate(items, subject, EvaluateConfig()))
    for result in results:
        assert [result.tables[index] for index in range(2)] == expected
        assert (result.report["loss_last"], result.report["steps"]) == (report["loss_last"], 4)
        assert result.worker["device"] == "cpu"
    # Two cells, of four steps of two rows and of four items each.
    assert sum(counted) == 2 * (4 * 2 + 4)
    assert CellTask(EvaluationTask(model, EvaluateConfig()), original, {}).models().keys() == {model, original}
