"""A comparison on a real Ray cluster: the cells of a local one, several at once, and the death of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus
from ray_cluster import disconnect, running_cluster

from curate.engines.workers.ray_worker import RayWorker
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Run = Any

ray = pytest.importorskip("ray", reason='needs the extra "ray"')
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start two nodes of one CPU and set their address, as a user does."""
    with running_cluster(tmp_path / "cache", 1, 1) as running:
        monkeypatch.setenv("RAY_ADDRESS", running.address)
        yield running


def content(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the digests of the parts of every evaluation, by id."""
    return {made.id: [(part.file, part.digest) for part in made.parts] for made in Warehouse(root).list("evaluation")}


@pytest.mark.usefixtures("cluster")
def test_cells_on_two_nodes_are_those_of_a_local_comparison(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.engines.cell_task import CellTraining

    begun: list[tuple[str, int]] = []

    def assign(worker: RayWorker, part: Any) -> None:
        """End the worker that is given the first cell."""
        if isinstance(part[1], CellTraining):
            begun.append((worker.place.node, part[0]))
            if len(begun) == 1:
                ray.kill(worker.actor)
        given(worker, part)

    given = RayWorker.assign
    monkeypatch.setattr(RayWorker, "assign", assign)
    pool, held = write_corpus(tmp_path / "pool.jsonl", rows=60), write_corpus(tmp_path / "held.jsonl", 30, seed=7)
    models = ("--corpus", pool, "--original", tiny[0], "--compressed", tiny[1], "--learning-rate", "1e-3")
    # Predictions of the original are kept from cell to cell by one process only, which may change last digits.
    grid = ("--methods", "donod", "--budgets", "25%", "--seeds", "1", "--tasks", held, "--part-items", "16")
    how = ("--teacher", "none", "--metric", "token_accuracy", "--batch", "4", "--threads", "1")
    command = ("compare", *models, *grid, *how, "--json")
    on_ray = ("--engine", "ray", "--cpus-per-worker", "1", "--ship-models")
    with pytest.warns(RuntimeWarning, match=r"ended in cell 'donod, 25%, seed 0' \(.*; it is given to another"):
        answer = curate(*command, *on_ray, "-w", tmp_path / "ray")
    assert answer.code == 0, answer.err
    assert sorted(index for _, index in begun) == [0, 0, 1, 2, 3]
    assert len({node for node, _ in begun}) == 2
    disconnect()

    local = curate(*command, "-w", tmp_path / "local")
    assert local.code == 0, local.err
    assert content(tmp_path / "ray") == content(tmp_path / "local")
    assert [(line["method"], line["mean"], line["gain"]) for line in answer.value["lines"]] == [
        (line["method"], line["mean"], line["gain"]) for line in local.value["lines"]
    ]
    cells = [Warehouse(tmp_path / "ray").manifest("evaluation", one["evaluation"])
             for one in answer.value["cells"].values()]  # fmt: skip
    assert all(cell.facts["workers"][0]["device"] == "cpu" for cell in cells)

    again = curate(*command, *on_ray, "-w", tmp_path / "ray")
    assert again.value["cells"] == answer.value["cells"]
    assert len(begun) == 5, "finished cells are not run again"
