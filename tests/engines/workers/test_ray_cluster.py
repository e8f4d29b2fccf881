"""Room for workers on the nodes of a cluster, models that a node must have, and what is said without Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.engines.workers import ray_cluster
from curate.engines.workers.ray_cluster import RayWorkers, connect, places
from curate.engines.workers.shipping import check_present, file_sizes, ship
from curate.schemas.errors import InputError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": name * 10, "NodeName": name, "NodeManagerAddress": "", "Alive": alive, "Resources": resources}


HEAD, SMALL, LARGE = node("h", CPU=0.0), node("s", CPU=4.0), node("l", CPU=9.0)
GPUS, ONE_GPU = node("g", CPU=16.0, GPU=4.0), node("o", CPU=2.0, GPU=1.0)


@pytest.mark.parametrize(
    ("nodes", "workers", "found"),
    [
        ([HEAD, SMALL, LARGE], RayWorkers(), [("l", 9, "cpu"), ("s", 4, "cpu")]),
        ([SMALL, LARGE], RayWorkers(cpus=4), [("l", 4, "cpu"), ("s", 4, "cpu"), ("l", 4, "cpu")]),
        ([SMALL], RayWorkers(cpus=5), []),
        ([SMALL, node("d", alive=False, CPU=8.0)], RayWorkers(), [("s", 4, "cpu")]),
        ([SMALL, GPUS, ONE_GPU], RayWorkers(), [("g", 4, "cuda:0"), ("o", 2, "cuda:0"), *[("g", 4, "cuda:0")] * 3]),
        ([SMALL, GPUS], RayWorkers("cuda", 8), [("g", 8, "cuda:0")] * 2),
        ([ONE_GPU, SMALL], RayWorkers("cpu"), [("o", 2, "cpu"), ("s", 4, "cpu")]),
        ([SMALL], RayWorkers("cuda"), []),
        ([node("n", GPU=2.0)], RayWorkers(), [("n", 0, "cuda:0")] * 2),
    ],
)
def test_places(nodes: list[dict[str, Any]], workers: RayWorkers, found: list[tuple[str, int, str]]) -> None:
    assert [(place.node[0], place.cpus, place.device) for place in places(nodes, workers)] == found
    assert len({(place.node, place.number) for place in places(nodes, workers)}) == len(found)


def test_devices_of_one_machine_are_refused() -> None:
    with pytest.raises(UsageError, match="--device cuda:1 names devices of one machine"):
        places([GPUS], RayWorkers("cuda:1"))


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'--engine ray needs the extra "ray": pip install "curate-llm\[ray\]"'):
        connect()


def test_a_node_must_have_the_files_of_the_driver(tmp_path: Path) -> None:
    files = [tmp_path / "m/config.json", tmp_path / "m/1_Pooling/config.json"]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    sizes = file_sizes(str(tmp_path / "m"), files)
    assert sizes == {"config.json": 2, "1_Pooling/config.json": 2}
    check_present(str(tmp_path / "m"), sizes)
    with pytest.raises(InputError, match=r"no model folder '.*/other' on this node.*--ship-models"):
        check_present(str(tmp_path / "other"), sizes)
    files[1].write_text("{ }")
    with pytest.raises(InputError, match=r"1_Pooling/config.json has 3 bytes on this node and 2 where"):
        check_present(str(tmp_path / "m"), sizes)
    files[1].unlink()
    with pytest.raises(InputError, match=r"config.json is missing on this node and 2 where"):
        check_present(str(tmp_path / "m"), sizes)


def test_the_digest_of_a_shipped_model_is_that_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    weights, config = tmp_path / "a/model.safetensors", tmp_path / "a/config.json"
    weights.write_bytes(b"w" * 10)
    config.write_text("{}")
    chunks: list[bytes] = []

    def put(chunk: bytes) -> int:
        chunks.append(chunk)
        return len(chunks)

    first = ship("a", [weights, config], put)
    assert first.files == (("config.json", (1,)), ("model.safetensors", (2,)))
    assert chunks == [b"{}", b"w" * 10]
    moved = (tmp_path / "a").rename(tmp_path / "b")
    assert ship("b", sorted(moved.iterdir()), lambda chunk: None).digest == first.digest
    (moved / "config.json").write_text("[]")
    assert ship("b", sorted(moved.iterdir()), lambda chunk: None).digest != first.digest


def test_an_adapter_is_not_shipped_without_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="does not ship the adapter 'mine', whose base model is elsewhere"):
        ship("mine", [tmp_path / "adapter_config.json"], lambda chunk: None)
