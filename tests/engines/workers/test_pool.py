"""Every part is computed once, in this process or by workers; failures are reported, finished parts are kept."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from documents import ROOT
from part_tasks import DoublingTask

from curate.engines.workers.pool import WorkerPool, open_pool
from curate.schemas.errors import CurateError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = [(index, list(range(index, index + 3))) for index in range(6)]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put `part_tasks` on the import path of the workers."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]))


def collect(
    task: DoublingTask, devices: list[str], threads: int = 2, progress: Callable[[int], None] = lambda rows: None
) -> tuple[dict[int, Any], str, Any]:
    """Return the results by part, the error message or an empty string, and the pool."""
    results: dict[int, Any] = {}
    error = ""
    with open_pool(task, devices, threads) as pool:
        try:
            for index, result in pool.run(PARTS, progress):
                results[index] = result
        except CurateError as problem:
            error = str(problem)
    return results, error, pool


def test_every_part_is_computed_once(tmp_path: Path) -> None:
    rows: list[int] = []
    results, error, pool = collect(DoublingTask(tmp_path), ["cpu", "cpu"], threads=4, progress=rows.append)
    assert error == ""
    assert {index: result[0] for index, result in results.items()} == {i: [2 * n for n in one] for i, one in PARTS}
    assert {result[1] for result in results.values()} == {"2"}, "four threads for two processes"
    assert os.getpid() not in {result[2] for result in results.values()}
    assert sum(rows) == sum(len(one) for _, one in PARTS)
    assert pool.facts == {"loaded": True}
    assert sum(one["parts"] for one in pool.worker_summaries()) == len(PARTS)
    assert pool.peak_memory > 10 * 2**20


def test_one_device_is_computed_in_this_process(tmp_path: Path) -> None:
    results, _, pool = collect(DoublingTask(tmp_path), ["cpu"])
    assert [result[2] for result in results.values()] == [os.getpid()] * len(PARTS)
    assert (pool.worker_summaries(), pool.peak_memory, pool.facts) == ([], 0, {"loaded": True})


def test_without_parts_the_facts_are_still_reported(tmp_path: Path) -> None:
    with WorkerPool(DoublingTask(tmp_path), ["cpu", "cpu"], 2) as pool:
        assert list(pool.run([], lambda rows: None)) == []
    assert pool.facts == {"loaded": True}


@pytest.mark.parametrize(
    ("event", "messages"),
    [
        ("refuse", ["one row does not fit; lower --max-length"]),
        ("break", ["ZeroDivisionError: a mistake"]),
        ("die", ["was killed by SIGKILL in part 1 (last words)", "run the same command again"]),
    ],
)
def test_a_failure_names_its_device_and_running_parts_are_finished(
    tmp_path: Path, event: str, messages: list[str]
) -> None:
    results, error, _ = collect(DoublingTask(tmp_path, {0: ("wait",), 1: (event,)}), ["cpu", "cpu"])
    assert error.startswith("worker ")
    assert " of 2 on cpu" in error
    for message in messages:
        assert message in error
    assert results.keys() == {0}
    assert {path.name for path in tmp_path.glob("started-*")} == {"started-0", "started-1"}, (
        "no part is started after a failure"
    )


def test_the_error_type_and_the_traceback_survive(tmp_path: Path) -> None:
    with WorkerPool(DoublingTask(tmp_path, {1: ("refuse",)}), ["cpu", "cpu"], 2) as pool:
        with pytest.raises(InputError) as raised:
            list(pool.run(PARTS, lambda rows: None))
    assert "in _refuse" in raised.value.__notes__[0]


def test_a_failed_load_on_one_device_is_reported(tmp_path: Path) -> None:
    results, error, _ = collect(DoublingTask(tmp_path, {0: ("wait",)}, refuses_to_open="cuda:1"), ["cuda:0", "cuda:1"])
    assert error == "worker 2 of 2 on cuda:1: no such model; give another"
    assert results.keys() == {0}


def test_warnings_name_the_worker(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"worker \d of 2 on cpu: out of memory: going on"):
        collect(DoublingTask(tmp_path, {3: ("warn",)}), ["cpu", "cpu"])


def test_workers_are_stopped_at_the_end_of_the_block(tmp_path: Path) -> None:
    with WorkerPool(DoublingTask(tmp_path, {1: ("hang",)}), ["cpu", "cpu"], 2) as pool:
        results = pool.run(PARTS, lambda rows: None)
        while not (tmp_path / "started-1").exists():
            next(results)
            time.sleep(0.01)
        processes = [worker.process for worker in pool._workers]
        assert all(process.poll() is None for process in processes)
    assert all(process.poll() is not None for process in processes)
