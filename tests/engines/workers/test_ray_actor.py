"""What an actor streams, without a cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from part_tasks import DoublingTask

from curate.engines.workers import ray_actor
from curate.engines.workers.messages import versions
from curate.engines.workers.ray_actor import PartActor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def actor() -> Iterator[PartActor]:
    """Return an actor, and undo what it does to its process afterwards."""
    import warnings

    stdout, shown = os.dup(1), warnings.showwarning
    yield PartActor()
    os.dup2(stdout, 1)
    os.close(stdout)
    warnings.showwarning = shown


def opened(actor: PartActor, task: Any) -> list[tuple[Any, ...]]:
    return list(actor.open(task, "cpu", {}, {}))


def test_a_part_ends_with_its_result_and_all_rows_are_reported(actor: PartActor, tmp_path: Path) -> None:
    assert opened(actor, DoublingTask(tmp_path)) == [("ready", {"loaded": True}, versions())]
    *rows, last = actor.compute(3, [1, 2, 3])
    assert rows == [("rows", 3)]
    assert (last[:2], last[2][0]) == (("done", 3), [2, 4, 6])
    assert last[3] > 2**20


def test_rows_are_reported_while_the_part_is_computed(
    actor: PartActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actor, "SECONDS_BETWEEN_ROWS", 0.0)
    opened(actor, DoublingTask(tmp_path))
    assert [message[1] for message in actor.compute(0, [1, 2, 3]) if message[0] == "rows"] == [1, 1, 1]


def test_failures_and_warnings_are_messages(actor: PartActor, tmp_path: Path) -> None:
    (tmp_path / "started-0").touch()
    opened(actor, DoublingTask(tmp_path, {1: ("refuse",), 2: ("warn",)}))
    (failed,) = actor.compute(1, [1])
    assert failed[:3] == ("failed", 3, "one row does not fit; lower --max-length")
    assert "in _refuse" in failed[3]
    assert list(actor.compute(2, [1]))[0] == ("warning", "out of memory: going on")
    assert opened(actor, DoublingTask(tmp_path, refuses_to_open="cpu"))[0][:2] == ("failed", 3)


def test_a_folder_that_the_node_lacks_is_named(actor: PartActor, tmp_path: Path) -> None:
    (failed,) = actor.open(DoublingTask(tmp_path), "cpu", {}, {str(tmp_path / "absent"): {}})
    assert failed[1] == 3
    assert "there is no model folder" in failed[2]
