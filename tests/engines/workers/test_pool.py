"""Parts in several processes: every part once, wherever; what fails is told, and what others did is kept."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from documents import ROOT
from part_tasks import Doubling

from curate.engines.workers.pool import Workers, at_work
from curate.schemas.errors import CurateError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = [(index, list(range(index, index + 3))) for index in range(6)]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes find `part_tasks`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]))


def collect(
    task: Doubling, devices: list[str], threads: int = 2, progress: Callable[[int], None] = lambda rows: None
) -> tuple[dict[int, Any], str, Any]:
    """Return the results, the error's sentence if there was one, and who was at work."""
    found: dict[int, Any] = {}
    error = ""
    with at_work(task, devices, threads) as hands:
        try:
            for index, result in hands.run(PARTS, progress):
                found[index] = result
        except CurateError as problem:
            error = str(problem)
    return found, error, hands


def test_every_part_comes_back_once_whoever_did_it(tmp_path: Path) -> None:
    rows: list[int] = []
    found, error, hands = collect(Doubling(tmp_path), ["cpu", "cpu"], threads=4, progress=rows.append)
    assert error == ""
    assert {index: result[0] for index, result in found.items()} == {i: [2 * n for n in one] for i, one in PARTS}
    assert {result[1] for result in found.values()} == {"2"}, "four threads for two processes"
    assert os.getpid() not in {result[2] for result in found.values()}
    assert sum(rows) == sum(len(one) for _, one in PARTS)
    assert hands.facts == {"loaded": True}
    assert sum(one["parts"] for one in hands.told()) == len(PARTS)
    assert hands.peak > 10 * 2**20


def test_one_device_is_served_by_this_process(tmp_path: Path) -> None:
    found, _, hands = collect(Doubling(tmp_path), ["cpu"])
    assert [result[2] for result in found.values()] == [os.getpid()] * len(PARTS)
    assert (hands.told(), hands.peak, hands.facts) == ([], 0, {"loaded": True})


def test_without_parts_the_models_are_still_described(tmp_path: Path) -> None:
    with Workers(Doubling(tmp_path), ["cpu", "cpu"], 2) as hands:
        assert list(hands.run([], lambda rows: None)) == []
    assert hands.facts == {"loaded": True}


@pytest.mark.parametrize(
    ("event", "sentences"),
    [
        ("refuse", ["one row does not fit; lower --max-length"]),
        ("break", ["ZeroDivisionError: a mistake"]),
        ("die", ["was killed by SIGKILL in part 1 (last words)", "run the same command again"]),
    ],
)
def test_a_failure_is_told_with_its_device_and_the_part_in_work_elsewhere_is_kept(
    tmp_path: Path, event: str, sentences: list[str]
) -> None:
    found, error, _ = collect(Doubling(tmp_path, {0: ("wait",), 1: (event,)}), ["cpu", "cpu"])
    assert error.startswith("worker ")
    assert " of 2 on cpu" in error
    for sentence in sentences:
        assert sentence in error
    assert found.keys() == {0}
    assert {path.name for path in tmp_path.glob("begun-*")} == {"begun-0", "begun-1"}, "nothing is begun any more"


def test_the_kind_of_error_and_where_it_happened_survive(tmp_path: Path) -> None:
    with Workers(Doubling(tmp_path, {1: ("refuse",)}), ["cpu", "cpu"], 2) as hands:
        with pytest.raises(InputError) as told:
            list(hands.run(PARTS, lambda rows: None))
    assert "in _refuse" in told.value.__notes__[0]


def test_models_that_cannot_be_loaded_on_one_device(tmp_path: Path) -> None:
    found, error, _ = collect(Doubling(tmp_path, {0: ("wait",)}, refuses_to_open="cuda:1"), ["cuda:0", "cuda:1"])
    assert error == "worker 2 of 2 on cuda:1: no such model; give another"
    assert found.keys() == {0}


def test_warnings_name_who_gave_them(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"worker \d of 2 on cpu: out of memory: going on"):
        collect(Doubling(tmp_path, {3: ("warn",)}), ["cpu", "cpu"])


def test_processes_end_with_the_block_whatever_they_do(tmp_path: Path) -> None:
    with Workers(Doubling(tmp_path, {1: ("hang",)}), ["cpu", "cpu"], 2) as hands:
        results = hands.run(PARTS, lambda rows: None)
        while not (tmp_path / "begun-1").exists():
            next(results)
            time.sleep(0.01)
        processes = [hand.process for hand in hands._hands]
        assert all(process.poll() is None for process in processes)
    assert all(process.poll() is not None for process in processes)
