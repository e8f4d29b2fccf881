"""A recovery on a real Ray cluster: the bytes of a local run, its log here, and the death of its node."""

from __future__ import annotations

import json
import re
import shutil
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from ray_cluster import disconnect, running_cluster

from curate.engines.workers import ray_pool
from curate.engines.workers.ray_cluster import Place, RayWorkers, places
from curate.engines.workers.ray_worker import RayWorker
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Run = Any

ray = pytest.importorskip("ray", reason='needs the extra "ray"')
pytestmark = pytest.mark.slow

FAST = ("--epochs", "2", "--batch", "8", "--rank", "2", "--learning-rate", "0.01", "--threads", "1")
ON_RAY = ("--engine", "ray", "--cpus-per-worker", "1")
TIMED = {"recovery.json", "metrics.jsonl", "README.md"}
"""Files of a recovery that say how long it took."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start two nodes of one CPU."""
    with running_cluster(tmp_path_factory.mktemp("cache"), 1, 1) as running:
        yield running


@pytest.fixture(autouse=True)
def address(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the address, as a user does; end the connection afterwards."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield
    disconnect()


@pytest.fixture
def selected(curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path) -> tuple[Any, ...]:
    """Return the arguments of a recovery of a selection that is in the warehouse."""
    home = ("-w", tmp_path / "w")
    assert curate("select", "--method", "uniform", "-b", "0.5", "--corpus", corpus, *home).code == 0
    return ("--original", tiny[0], "--model", tiny[1], *FAST, *home, "--json")


def untimed(folder: Path) -> dict[str, Any]:
    """Return the files of a recovery that do not say how long it took."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in TIMED]
    content: dict[str, Any] = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    adapter = json.loads(content.pop("adapter/adapter_config.json"))
    # A set, which PEFT writes in another order in every process.
    return {**content, "adapter": {**adapter, "target_modules": sorted(adapter["target_modules"])}}


def test_a_job_that_fails_keeps_its_code_and_one_whose_workers_end_is_named(
    curate: Run, selected: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = curate("recover", *selected, *ON_RAY, "--processes", "2")
    assert (several.code, "leave it out" in several.err) == (2, True)
    refused = curate("recover", *selected, *ON_RAY, "--learning-rate", "1e30")
    assert (refused.code, "the loss" in refused.err) == (1, True)
    (folder,) = (tmp_path / "w" / "jobs").iterdir()
    assert "the loss" in (folder / "job.log").read_text(), "the log of the node"

    def assign(worker: RayWorker, part: Any) -> None:
        ray.kill(worker.actor)
        given(worker, part)

    given = RayWorker.assign
    monkeypatch.setattr(RayWorker, "assign", assign)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lost = curate("recover", *selected, *ON_RAY)
    assert lost.code == 1
    assert re.search(r"job \w+ was given to 4 workers and each ended in it, the last on node", lost.err), lost.err


def test_the_job_of_a_node_that_dies_gives_the_bytes_of_a_local_one(
    curate: Run, selected: tuple[Any, ...], tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / "w", tmp_path / "local")
    head, victim = (node.node_id for node in cluster.list_all_nodes())
    given_to: list[str] = []

    def assign(worker: RayWorker, part: Any) -> None:
        """Remove the node that is given the job first, while it works."""
        given(worker, part)
        given_to.append(worker.place.node)
        if len(given_to) == 1:
            time.sleep(2)
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
            while any(node["Alive"] for node in ray.nodes() if node["NodeID"] == victim):
                time.sleep(0.1)

    def victim_first(nodes: Any, workers: RayWorkers) -> list[Place]:
        return [place for place in places(nodes, workers) if given_to or place.node == victim]

    given = RayWorker.assign
    monkeypatch.setattr(RayWorker, "assign", assign)
    monkeypatch.setattr(ray_pool, "places", victim_first)
    with pytest.warns(RuntimeWarning, match=r"ended in job \w+ \(.*; it is given to another"):
        answer = curate("recover", *selected, *ON_RAY, "--ship-models", "--out", tmp_path / "shipped")
    assert answer.code == 0, answer.err
    assert given_to == [victim, head]
    assert ", trained" in answer.err, "a line of the job's log"
    (made,) = Warehouse(tmp_path / "w").list("recovery")
    assert [one["parts"] for one in made.facts["workers"]] == [0, 1]
    assert not list((tmp_path / "w" / "jobs").iterdir())

    alone = curate("recover", *selected[:-3], "-w", tmp_path / "local", "--json", "--out", tmp_path / "alone")
    assert alone.code == 0, alone.err
    assert untimed(tmp_path / "alone") == untimed(tmp_path / "shipped")
    assert alone.value["perplexity_after"] == answer.value["perplexity_after"]
