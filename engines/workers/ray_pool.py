"""Computes parts by actors on the nodes of a Ray cluster.

Parts and results travel by value; nodes need the package and the models, and no file of the warehouse. The part of an
actor that ended, with its node or alone, is given to another one, and a node that lost its actor, or joined the
cluster, gets one.
"""

from __future__ import annotations

import warnings
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engines.workers.messages import as_error, versions
from curate.engines.workers.ray_cluster import places, room
from curate.engines.workers.ray_worker import RayWorker, start_worker
from curate.engines.workers.shipping import file_sizes, ship
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from curate.engines.workers.pool import Progress, TravellingTask
    from curate.engines.workers.process import IndexedBatch
    from curate.engines.workers.ray_cluster import Place, RayWorkers

MOST_REPEATS = 3
"""How often a part is given to another worker after one ended in it, and how often a node may fail to load."""

SECONDS_BETWEEN_LOOKS = 5.0
"""How often the cluster is asked for new nodes, while nothing else happens."""


@dataclass(eq=False)
class RayPool:
    """Actors that share parts; a context manager, whose exit stops them. The process is connected to the cluster.

    Parameters
    ----------
    task : TravellingTask
    workers : RayWorkers
    n_parts : int
        Number of parts to come: there are no more workers than that.
    name : callable
        What errors call a part, by its number.
    """

    task: TravellingTask
    workers: RayWorkers
    n_parts: int
    name: Callable[[int], str] = "part {}".format
    facts: dict[str, Any] = field(default_factory=dict)
    """The facts of `PartTask.open`, once the first worker is ready."""

    def __enter__(self) -> RayPool:
        self._alive: list[RayWorker] = []
        self._ended: list[RayWorker] = []
        self._failure: CurateError | None = None
        self._is_open = self._exhausted = False
        self._again: deque[IndexedBatch] = deque()
        self._losses: Counter[int] = Counter()
        self._failed_loads: Counter[str] = Counter()
        self._opening = self._prepared()
        room(self.workers)
        try:
            self._start_workers()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._alive:
            worker.stop()

    def run(self, parts: Iterable[IndexedBatch], progress: Progress) -> Iterator[tuple[int, Any]]:
        """Compute the parts as `PartPool.run` says.

        Raises
        ------
        CurateError
            Names the worker, its node and its error message; or the part whose workers ended too often; or says that no
            node is left.
        """
        pending = iter(parts)
        while self._assign(pending):
            for worker in self._talking():
                kind, *content = worker.receive()
                if kind == "ready":
                    self._ready(worker, *content)
                elif kind == "rows":
                    progress(content[0])
                elif kind == "done":
                    index, result, peak_memory = content
                    worker.finished(peak_memory)
                    yield index, result
                elif kind == "warning":
                    _warn(f"{worker.label}: {content[0]}")
                elif kind == "failed":
                    self._remove(worker)
                    self._failure = self._failure or as_error(worker.label, *content)
                else:
                    self._lost(worker, *content)
        if self._failure is not None:
            raise self._failure

    @property
    def peak_memory(self) -> int:
        """Sum of the workers' largest resident sets, in bytes."""
        return sum(worker.peak_memory for worker in self._ended + self._alive)

    def worker_summaries(self) -> list[dict[str, Any]]:
        """Return node, device, finished parts and peak memory of each worker, for the manifest."""
        return [
            {
                "node": worker.place.name,
                "device": worker.place.device,
                "parts": worker.parts_done,
                "peak_memory_mb": round(worker.peak_memory / 2**20, 1),
            }
            for worker in self._ended + self._alive
        ]

    def _prepared(self) -> tuple[Any, ...]:
        """Return what every actor opens: task, and the models that it gets or must have."""
        import ray

        models = self.task.models()
        if self.workers.ship_models:
            return self.task, {name: ship(name, files, ray.put) for name, files in models.items()}, {}
        # Another machine has another current folder.
        local = {name: str(Path(name).expanduser().absolute()) for name in models if Path(name).expanduser().is_dir()}
        sizes = {folder: file_sizes(folder, _absolute(models[name])) for name, folder in local.items()}
        return self.task.with_folders(local), {}, sizes

    def _start_workers(self) -> None:
        """Start an actor at every place of the cluster that has none, up to the number of parts."""
        import ray

        taken = {(worker.place.node, worker.place.number) for worker in self._alive}
        for place in places(ray.nodes(), self.workers):
            free = (place.node, place.number) not in taken and self._failed_loads[place.node] < MOST_REPEATS
            if free and len(self._alive) < max(1, self.n_parts):
                self._alive.append(self._started(place))

    def _started(self, place: Place) -> RayWorker:
        task, models, sizes = self._opening
        return start_worker(place, task, place.device, models, sizes)

    def _assign(self, pending: Iterator[IndexedBatch]) -> bool:
        """Give a part to every idle worker; return whether anything is left to wait for."""
        for worker in self._alive:
            if worker.stream is None and self._failure is None and (part := self._next(pending)) is not None:
                worker.assign(part)
        if self._failure is not None:
            return any(worker.part is not None for worker in self._alive)
        # A run without parts is one for the facts, which the first worker to be ready sends.
        busy = any(worker.part is not None for worker in self._alive)
        return busy or bool(self._again) or not self._exhausted or not self._is_open

    def _next(self, pending: Iterator[IndexedBatch]) -> IndexedBatch | None:
        if self._again:
            return self._again.popleft()
        part = None if self._exhausted else next(pending, None)
        self._exhausted = part is None
        return part

    def _talking(self) -> list[RayWorker]:
        """Wait for messages, and return the workers that have one; look for new nodes if none comes."""
        import ray

        streams = [worker.stream for worker in self._alive if worker.stream is not None]
        ready = ray.wait(streams, num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)[0] if streams else []
        if not ready:
            self._start_workers()
        return [worker for worker in self._alive if any(worker.stream is one for one in ready)]

    def _ready(self, worker: RayWorker, facts: dict[str, Any], installed: dict[str, str]) -> None:
        worker.stream = None
        self.facts = self.facts or facts
        self._is_open = True
        other = {name: version for name, version in versions().items() if installed.get(name) != version}
        if other:
            listed = ", ".join(f"{name} {installed.get(name)} (here {version})" for name, version in other.items())
            _warn(f"{worker.label} runs {listed}: its parts may differ in their last digits")

    def _lost(self, worker: RayWorker, reason: str) -> None:
        """Give the part of a worker that ended to another, unless it has been given too often."""
        self._remove(worker)
        if worker.part is None:
            self._failed_loads[worker.place.node] += 1
            _warn(f"{worker.label} ended while it loaded the models ({reason})")
        else:
            index = worker.part[0]
            name = self.name(index)
            self._losses[index] += 1
            if self._losses[index] > MOST_REPEATS:
                self._failure = self._failure or CurateError(
                    f"{name} was given to {self._losses[index]} workers and each ended in it, the last on node "
                    f"{worker.place.name} ({reason}); what is finished is kept, run the same command again to resume, "
                    "with more memory on the nodes or more --cpus-per-worker if memory ran out"
                )
                return
            self._again.append(worker.part)
            _warn(f"{worker.label} ended in {name} ({reason}); it is given to another worker")
        self._start_workers()
        if not self._alive:
            self._failure = self._failure or CurateError(
                f"no node of the Ray cluster is left to compute on, the last was {worker.place.name} ({reason}); "
                "what is finished is kept, run the same command again to resume"
            )

    def _remove(self, worker: RayWorker) -> None:
        self._alive.remove(worker)
        self._ended.append(worker)


def _absolute(files: list[Path]) -> list[Path]:
    return [path.expanduser().absolute() for path in files]


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)
