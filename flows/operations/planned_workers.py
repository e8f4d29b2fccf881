"""What `curate plan` says about workers: how many a machine or a node of the cluster has, of which kind."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.flows.stages.engine import connect_to_ray, ray_workers

if TYPE_CHECKING:
    from curate.engines.workers.ray_cluster import Place
    from curate.schemas.settings import Settings

MIB = 2**20


@dataclass(frozen=True)
class PlannedWorkers:
    """The workers of one machine, or of the node that has most."""

    device: str
    """A name that torch knows here; ``meta`` for the GPUs of other machines."""
    kind: str
    """``cpu`` or ``cuda``."""
    count: int
    threads: int
    """CPU threads of each."""
    where: str
    """What follows the memory in the estimate."""


def planned_workers(settings: Settings, n_parts: int, models: list[int]) -> PlannedWorkers:
    """Return the workers that would score `n_parts` parts; `models` are the bytes of the models' weights.

    On a cluster its nodes are looked at, if ``RAY_ADDRESS`` names one; none is started.
    """
    if settings.engine == "ray":
        return _on_cluster(settings, n_parts, sum(models) // MIB)
    from curate.engines.models.devices import cpu_threads, pair_devices, worker_devices

    how = settings.score
    kind = pair_devices(how.device)[1].type
    count = min(len(worker_devices(how.device, how.workers)), n_parts)
    shared = f" of {count} workers" if count > 1 else ""
    on = f"on {kind}" if count == 1 or kind == "cpu" else f"on each of {count} {kind} devices"
    threads = max(1, (settings.threads or cpu_threads()) // count)
    return PlannedWorkers(how.device, kind, count, threads, f"{shared} {on}")


def _on_cluster(settings: Settings, n_parts: int, models: int) -> PlannedWorkers:
    places = _places(settings)[:n_parts]
    per_node = Counter(place.node for place in places)
    gpu = bool(places and places[0].gpus) or (not places and settings.score.device == "cuda")
    count = max(per_node.values(), default=1)
    threads = max((place.cpus for place in places), default=settings.cpus_per_worker or os.cpu_count() or 1)
    room = f"{len(places):,} workers on {len(per_node):,} nodes" if places else "a Ray that is started here"
    how = "copied to it once" if settings.ship_models else "read there"
    each = f" for {count} workers" if count > 1 else ""
    where = f"{each} on each node, and {models:,} MiB of models, {how}; {n_parts:,} parts for {room}"
    return PlannedWorkers("meta" if gpu else "cpu", "cuda" if gpu else "cpu", count, max(1, threads), where)


def _places(settings: Settings) -> list[Place]:
    """Return the room for workers on the cluster; nothing if there is none yet."""
    from curate.engines.workers.ray_cluster import ADDRESS, room

    if not os.environ.get(ADDRESS):
        return []
    connect_to_ray()
    return room(ray_workers(settings, settings.score.device))
