"""The Ray cluster of a run: connecting to it, and which workers its nodes have room for."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import CurateError, MissingExtraError, UsageError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ADDRESS = "RAY_ADDRESS"
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class RayWorkers:
    """What a worker on a cluster has, and how it gets its models."""

    device: str = "auto"
    """``auto`` (one GPU for each worker where any node has one, else CPUs), ``cpu`` or ``cuda``."""
    cpus: int | None = None
    """CPUs of a worker; None for all CPUs of its node, or an equal share where GPUs decide the number of workers."""
    ship_models: bool = False
    """Whether models travel through the object store; otherwise each node has them at the same path or the hub."""


@dataclass(frozen=True)
class Place:
    """Room for one worker on a node."""

    node: str
    """Id of the node."""
    name: str
    """What errors call the node: its name or address, and the beginning of its id."""
    number: int
    """From 0, among those of the node."""
    cpus: int
    gpus: int

    @property
    def device(self) -> str:
        """The device of the worker; Ray shows it the GPU that it was given, and no other."""
        return "cuda:0" if self.gpus else "cpu"


def connect() -> str:
    """Connect this process to the cluster, once, and return what to tell the user; empty if already connected.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    CurateError
        If no cluster answers at ``RAY_ADDRESS``.
    UsageError
        If that is the address of a Ray Client.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("--engine ray", "ray")
    import ray

    if ray.is_initialized():
        return ""
    address = os.environ.get(ADDRESS, "")
    if address.startswith("ray://"):
        raise UsageError(
            f"{ADDRESS}={address} is for Ray Client, which cannot stream results; run the command on a node of the "
            f"cluster with {ADDRESS}=auto, or as `ray job submit -- curate …`"
        )
    _print_to_stderr()
    try:
        # Without an address Ray would join any cluster that it finds running here.
        ray.init(
            address=address or "local", log_to_driver=True, logging_level="warning", include_dashboard=_no(address)
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise CurateError(
            f"no Ray cluster answers at {ADDRESS}={address} ({first_line(error)}); start one with `ray start --head`, "
            f"or unset {ADDRESS} to start one on this machine"
        ) from error
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not address:
        return f"{ADDRESS} is not set: started Ray on this machine for this run"
    return f"connected to the Ray cluster at {address}, {len(nodes)} nodes"


def _print_to_stderr() -> None:
    """Let what nodes print, and what Ray says of nodes, appear on stderr: Ray prints most of it on the driver's stdout.

    There it would stand in the middle of ``--json``. Ray has no setting for it; every such line goes through one
    function.
    """
    from ray._private import worker

    printed = worker.print_worker_logs

    def print_to_stderr(data: Any, _: Any, ignore_prefix: bool = False) -> None:
        printed(data, sys.stderr, ignore_prefix)

    worker.print_worker_logs = print_to_stderr


def _no(address: str) -> bool | None:
    """Return False for a Ray that is started here, which needs no dashboard; it cannot be said to a running one."""
    return None if address else False


def room(workers: RayWorkers) -> list[Place]:
    """Return the places of the cluster that this process is connected to.

    Raises
    ------
    UsageError
        As `places`.
    CurateError
        If there is none.
    """
    import ray

    available = places(ray.nodes(), workers)
    if not available:
        wanted = "a GPU" if workers.device == "cuda" else f"{workers.cpus or 1} CPUs"
        raise CurateError(f"no node of the Ray cluster has {wanted} for a worker; `ray status` lists what they have")
    return available


def places(nodes: Iterable[Mapping[str, Any]], workers: RayWorkers) -> list[Place]:
    """Return the room for workers on the nodes, the first of every node before the second of any.

    Parameters
    ----------
    nodes : iterable of mapping
        As ``ray.nodes()`` returns them.
    workers : RayWorkers

    Raises
    ------
    UsageError
        If the device is that of one machine.
    """
    if workers.device not in DEVICES:
        raise UsageError(
            f"--device {workers.device} names devices of one machine; with --engine ray give {', '.join(DEVICES)}"
        )
    alive = [node for node in nodes if node["Alive"]]
    with_gpus = workers.device != "cpu" and any(node["Resources"].get("GPU") for node in alive)
    if workers.device == "cuda" and not with_gpus:
        return []
    available = [place for node in alive for place in _on_node(node, workers.cpus, with_gpus)]
    return sorted(available, key=lambda place: (place.number, place.name))


def _on_node(node: Mapping[str, Any], cpus: int | None, with_gpus: bool) -> list[Place]:
    n_cpus, n_gpus = (int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU"))
    if with_gpus:
        count = n_gpus if cpus is None else min(n_gpus, n_cpus // cpus)
        each = cpus if cpus is not None else n_cpus // max(1, n_gpus)
    else:
        each = cpus or n_cpus
        count = n_cpus // each if each else 0
    name = f"{node.get('NodeName') or node['NodeManagerAddress']} ({node['NodeID'][:6]})"
    return [Place(node["NodeID"], name, number, each, int(with_gpus)) for number in range(count)]
