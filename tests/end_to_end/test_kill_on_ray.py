"""Kill the driver while three nodes score: the next run computes no part again that was written."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from corpora import write_corpus
from ray_cluster import running_cluster

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    Run = Any

pytest.importorskip("ray", reason='needs the extra "ray"')
pytestmark = pytest.mark.slow

SECONDS = 300.0
"""How long the killed run may take to write its first parts."""


def scored(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and bytes of the parts of scores that are written."""
    return {name: part for name, part in attempts.parts(root).items() if name.startswith("scores/")}


def kill_after_parts(command: list[str], root: Path, count: int) -> None:
    """Start a command and kill it (SIGKILL) when it has written so many parts of scores."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        end = time.monotonic() + SECONDS
        while len(scored(root)) < count:
            assert driver.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < end, f"no {count} parts after {SECONDS} s"
            time.sleep(0.01)
        driver.kill()


def test_a_killed_driver_computes_no_part_twice(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, root = write_corpus(tmp_path / "corpus.jsonl", rows=1500), tmp_path / "w"
    fixed = ["score", "--corpus", corpus, "--original", tiny[0], "--compressed", tiny[1], "--part-rows", "8", "--json"]
    on_ray = ["-w", root, "--engine", "ray", "--cpus-per-worker", "1"]
    with running_cluster(tmp_path / "cache", 1, 1, 1) as cluster:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        words = [str(word) for word in (*fixed, *on_ray)]
        kill_after_parts([sys.executable, "-m", "curate.flows.cli", *words], root, 20)
        before = scored(root)
        assert not Warehouse(root).list("scores")
        answer = curate(*fixed, *on_ray)
    assert answer.code == 0, answer.err
    assert before.items() <= scored(root).items()
    (made,) = Warehouse(root).list("scores")
    workers = made.facts["workers"]
    assert len({one["node"] for one in workers}) == len(workers) == 3
    assert sum(one["parts"] for one in workers) == len(made.parts) - len(before)

    alone = curate(*fixed, "-w", tmp_path / "alone")
    assert alone.code == 0, alone.err
    (expected,) = Warehouse(tmp_path / "alone").list("scores")
    assert [part.digest for part in made.parts] == [part.digest for part in expected.parts]
