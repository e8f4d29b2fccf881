"""Where the parts of a stage are computed: in this process, by processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.flows import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.engines.workers.pool import PartPool, TravellingTask
    from curate.engines.workers.ray_cluster import RayWorkers
    from curate.engines.workers.ray_pool import RayPool
    from curate.schemas.settings import Settings


def open_parts(
    settings: Settings, task: TravellingTask, n_parts: int, device: str, workers: int | None = None
) -> PartPool:
    """Return the pool that computes `n_parts` parts of a task; enter it before use.

    Parameters
    ----------
    device : str
        See `curate.engines.models.devices.worker_devices`, or on a cluster `curate.engines.workers.ray_cluster`.
    workers : int or None
        Processes of this machine, as for `worker_devices`; a cluster has as many as it has room for.

    Raises
    ------
    CurateError, UsageError
        As `worker_devices`, or `curate.engines.workers.ray_cluster.connect`.
    """
    if settings.engine == "ray":
        return open_on_ray(settings, task, n_parts, device)
    from curate.engines.models.devices import cpu_threads, worker_devices
    from curate.engines.workers.pool import open_pool

    # No more workers than parts: one without a part would load its models for nothing.
    devices = worker_devices(device, workers)[: max(1, n_parts)]
    return open_pool(task, devices, settings.threads or cpu_threads())


def open_on_ray(
    settings: Settings, task: TravellingTask, n_parts: int, device: str, name: Callable[[int], str] = "part {}".format
) -> RayPool:
    """Return the pool of a cluster, to which this process is connected; `name` is what errors call a part."""
    from curate.engines.workers.ray_pool import RayPool

    connect_to_ray()
    return RayPool(task, ray_workers(settings, device), n_parts, name)


def check_workers(settings: Settings, device: str, workers: int | None) -> str:
    """Check that there is room for workers before the long stages run; return a device of their kind, for checks here.

    Raises
    ------
    CurateError, UsageError
        As `open_parts`.
    """
    if settings.engine != "ray":
        from curate.engines.models.devices import worker_devices

        worker_devices(device, workers)
        return device
    from curate.engines.workers.ray_cluster import room

    connect_to_ray()
    # The nodes' GPUs are not this machine's: "meta" is a device that every torch has and that is no CPU.
    return "meta" if room(ray_workers(settings, device))[0].gpus else "cpu"


def connect_to_ray() -> None:
    """Connect to the cluster, unless this process is, and say which it is."""
    from curate.engines.workers.ray_cluster import connect

    if said := connect():
        progress.note(said)


def ray_workers(settings: Settings, device: str) -> RayWorkers:
    """Return what a worker on the cluster has."""
    from curate.engines.workers.ray_cluster import RayWorkers

    return RayWorkers(device, settings.cpus_per_worker, settings.ship_models)
