"""A real Ray cluster of this machine, whose nodes are processes of their own."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OBJECT_STORE = 100 * 2**20
"""Bytes, of each node."""


@contextmanager
def running_cluster(cache: Path, *cpus: int) -> Iterator[Any]:
    """Start a cluster and stop it afterwards.

    Parameters
    ----------
    cache : Path
        Where the nodes keep shipped models.
    *cpus : int
        CPUs of every node; the first is the head.
    """
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    # Nodes and their workers inherit the environment; part_tasks is imported from tests/.
    path = os.pathsep.join([str(ROOT / "tests"), before.get("PYTHONPATH", "")])
    # Ray gives its workers a low priority, with which they hardly run on a busy machine.
    os.environ.update(PYTHONPATH=path, XDG_CACHE_HOME=str(cache), RAY_worker_niceness="0")
    cluster = Cluster()
    try:
        for number in cpus:
            add_node(cluster, number)
        yield cluster
    finally:
        disconnect()
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


def add_node(cluster: Any, cpus: int) -> Any:
    """Add a node and return it."""
    # With ports given, a node on a busy machine does not end because its agents take more than 15 s to choose theirs.
    agents = ("metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    ports = dict(zip(agents, free_ports(len(agents)), strict=True))
    return cluster.add_node(num_cpus=cpus, object_store_memory=OBJECT_STORE, include_dashboard=False, **ports)


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def disconnect() -> None:
    """Forget the cluster that this process is connected to."""
    import ray

    ray.shutdown()
