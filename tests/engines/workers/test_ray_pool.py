"""Parts on a real Ray cluster: the bytes of a local run, and the death of an actor or a node in the middle."""

from __future__ import annotations

import json
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus
from part_tasks import DoublingTask
from ray_cluster import disconnect, running_cluster

from curate.engines.workers import ray_pool
from curate.engines.workers.ray_cluster import Place, RayWorkers, places
from curate.engines.workers.ray_worker import RayWorker
from curate.schemas.errors import CurateError
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Run = Any

ray = pytest.importorskip("ray", reason='needs the extra "ray"')
pytestmark = pytest.mark.slow

PARTS = [(index, list(range(index, index + 3))) for index in range(6)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the nodes keep shipped models."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cluster(cache: Path) -> Iterator[Any]:
    """Start a head of one CPU and a node of two."""
    with running_cluster(cache, 1, 2) as running:
        yield running


@pytest.fixture(autouse=True)
def address(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the address, as a user does; end the connection afterwards."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield
    disconnect()


def test_the_parts_of_an_actor_that_died_are_given_to_others(tmp_path: Path) -> None:
    from curate.engines.workers.ray_cluster import connect
    from curate.engines.workers.ray_pool import RayPool

    assert "2 nodes" in connect()
    rows: list[int] = []
    (tmp_path / "started-0").touch()
    task = DoublingTask(tmp_path, {2: ("die_once",)})
    with RayPool(task, RayWorkers(cpus=1), 3) as pool, pytest.warns(RuntimeWarning, match=r"ended in part 2 \("):
        results = dict(pool.run(PARTS, rows.append))
    assert {index: result[0] for index, result in results.items()} == {i: [2 * n for n in one] for i, one in PARTS}
    assert {result[1] for result in results.values()} == {"1"}, "threads of a worker with one CPU"
    assert (pool.facts, sum(rows)) == ({"loaded": True}, sum(len(one) for _, one in PARTS))
    assert sum(one["parts"] for one in pool.worker_summaries()) == len(PARTS)
    assert pool.peak_memory > 10 * 2**20

    always = DoublingTask(tmp_path, {1: ("die",)})
    with RayPool(always, RayWorkers(cpus=1), 3) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The part that fails is the last to be given; the others are finished and kept before the error is raised.
        yielded = iter(pool.run([PARTS[0], PARTS[2], PARTS[1]], rows.append))
        assert {next(yielded)[0] for _ in range(2)} == {0, 2}
        with pytest.raises(CurateError, match=r"part 1 was given to 4 workers and each ended in it, the last on node"):
            next(yielded)


def test_shipped_models_give_the_bytes_of_a_local_run(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, cache: Path
) -> None:
    corpus, held = write_corpus(tmp_path / "corpus.jsonl", rows=60), write_corpus(tmp_path / "held.jsonl", 30, seed=7)
    models = ("--original", tiny[0], "--compressed", tiny[1], "--part-rows", "16", "--json")
    on_ray = ("--engine", "ray", "--cpus-per-worker", "1", "--ship-models")
    digests: dict[str, list[Any]] = {}
    for name, where in (("local", ()), ("ray", on_ray)):
        home = ("-w", tmp_path / name, "--corpus", corpus, *where)
        answers = [
            curate("embed", *home, "--part-rows", "16", "--json"),
            curate("evaluate", tiny[1], *home, *models, "--tasks", held, "--part-items", "8", "--no-decontaminate"),
        ]
        assert [answer.code for answer in answers] == [0, 0], answers[-1].err
        opened = Warehouse(tmp_path / name)
        made = [opened.list("embeddings")[0], *opened.list("evaluation")]
        digests[name] = [(one.id, [part.digest for part in one.parts]) for one in sorted(made, key=lambda one: one.id)]
        assert all(("workers" in one.facts) == (name == "ray") for one in made)
    assert digests["ray"] == digests["local"]
    # The encoder and both models, each written once for all workers.
    assert sum(path.is_dir() for path in (cache / "curate/models").iterdir()) == 3


def test_a_node_that_dies_while_scoring_changes_no_byte(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=200)
    fixed = ("score", "--corpus", corpus, "--original", tiny[0], "--compressed", tiny[1], "--part-rows", "32", "--json")
    head, victim = (node.node_id for node in cluster.list_all_nodes())
    killed: list[int] = []

    def assign(worker: RayWorker, part: Any) -> None:
        """Kill the second node when it is given its second part, which its actor could still finish a moment later."""
        if worker.parts_done == 1 and not killed and worker.place.node == victim:
            killed.append(part[0])
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
            while any(node["Alive"] for node in ray.nodes() if node["NodeID"] == victim):
                time.sleep(0.1)
        given(worker, part)

    def places_of_the_victim_first(nodes: Any, workers: RayWorkers) -> list[Place]:
        """Keep the head out of the run until then: it would be done before a busy machine starts the other."""
        return [place for place in places(nodes, workers) if killed or place.node != head]

    given = RayWorker.assign
    monkeypatch.setattr(RayWorker, "assign", assign)
    monkeypatch.setattr(ray_pool, "places", places_of_the_victim_first)
    with pytest.warns(RuntimeWarning, match=r"on node .* ended in part \d+ .*; it is given to another"):
        answer = curate(*fixed, "-w", tmp_path / "ray", "--engine", "ray", "--cpus-per-worker", "1")
    assert answer.code == 0, answer.err
    assert "connected to the Ray cluster" in answer.err
    alone = curate(*fixed, "-w", tmp_path / "alone")
    assert alone.code == 0, alone.err
    parts = [Warehouse(tmp_path / name).list("scores")[0] for name in ("ray", "alone")]
    assert [part.digest for part in parts[0].parts] == [part.digest for part in parts[1].parts]
    workers = parts[0].facts["workers"]
    assert sum(one["parts"] for one in workers) == len(parts[0].parts)
    assert {head[:6] in one["node"] for one in workers if one["parts"]} == {True, False}
    assert json.loads(answer.out)["id"] == parts[1].id
