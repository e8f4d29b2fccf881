"""Computes parts in this process or in a pool of worker processes, each with models of its own on its own device.

A part's result depends on that part alone, so results are yielded in the order in which they are finished. Workers are
spawned, never forked, and end with the parent. This module does not import torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Protocol, Self

from curate.engines.workers.process import WorkerProcess, start_worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from curate.engines.workers.process import IndexedBatch
    from curate.schemas.errors import CurateError

Progress = Callable[[int], None]
ComputePart = Callable[[int, Any, Progress], Any]
"""Takes the number of a part, its rows, and a callback for the number of rows finished since its last call."""


class PartTask(Protocol):
    """What every worker computes. It is pickled and sent to each, so it holds model names rather than models."""

    def open(self, device: str) -> tuple[dict[str, Any], ComputePart]:
        """Load the models onto a device; return facts for the manifest and the function that computes a part."""


class TravellingTask(PartTask, Protocol):
    """A task that may be computed on another machine, where its models can have other folders."""

    def models(self) -> dict[str, list[Path]]:
        """Return the files of every model by the model's name, which is a folder or a hub name."""

    def with_folders(self, folders: Mapping[str, str]) -> Self:
        """Return the task with `folders` in place of the models' names."""


class PartPool(Protocol):
    """Computes parts somewhere; a context manager. `InProcess`, `WorkerPool` and `ray_pool.RayPool` are the kinds."""

    facts: dict[str, Any]
    """The facts of `PartTask.open`, once models are loaded; at the latest when `run` has ended."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, parts: Iterable[IndexedBatch], progress: Progress) -> Iterator[tuple[int, Any]]:
        """Yield number and result of every part, in the order in which they are finished.

        After a failure no new part is started; the parts that other workers are computing are finished and yielded
        before the error is raised.

        Parameters
        ----------
        parts : iterable of (int, RecordBatch)
            Read lazily, when a worker is free.
        progress : callable
            Called with the number of rows finished since the last call, by any worker.
        """

    @property
    def peak_memory(self) -> int:
        """Memory of all workers in bytes, 0 if there is none."""

    def worker_summaries(self) -> list[dict[str, Any]]:
        """Return device, finished parts and peak memory of each worker, for the manifest."""


@dataclass(eq=False)
class InProcess:
    """Computes every part in this process, with the interface of `WorkerPool`."""

    task: PartTask
    device: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> InProcess:
        self.facts, self._compute_part = self.task.open(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        # The function holds the models; without this they would stay in memory as long as the pool object.
        del self._compute_part

    def run(self, parts: Iterable[IndexedBatch], progress: Progress) -> Iterator[tuple[int, Any]]:
        """Yield number and result of every part, in order."""
        for index, batch in parts:
            yield index, self._compute_part(index, batch, progress)

    @property
    def peak_memory(self) -> int:
        """Memory of worker processes: 0."""
        return 0

    def worker_summaries(self) -> list[dict[str, Any]]:
        """Return an empty list: there are no worker processes."""
        return []


@dataclass(eq=False)
class WorkerPool:
    """Worker processes that share parts; a context manager, whose exit stops them.

    Parameters
    ----------
    task : PartTask
    devices : sequence of str
        One for each worker; see `curate.engines.models.devices.worker_devices`.
    threads : int
        CPU threads of all workers together; each gets an equal share, and at least one.
    """

    task: PartTask
    devices: Sequence[str]
    threads: int
    facts: dict[str, Any] = field(default_factory=dict)
    """The facts of `PartTask.open`, once the first worker is ready."""

    def __enter__(self) -> WorkerPool:
        self._workers: list[WorkerProcess] = []
        try:
            for number, device in enumerate(self.devices, start=1):
                label = f"worker {number} of {len(self.devices)} on {device}"
                self._workers.append(start_worker(label, device, max(1, self.threads // len(self.devices))))
                self._workers[-1].send((self.task, device))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # All sockets first, so that the workers exit at the same time rather than one after the other.
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.stop()

    def run(self, parts: Iterable[IndexedBatch], progress: Progress) -> Iterator[tuple[int, Any]]:
        """Compute the parts as `PartPool.run` says.

        Raises
        ------
        CurateError
            Names the worker, its device and its error message; or how it died, and in which part.
        """
        pending, exhausted = iter(parts), False
        failure: CurateError | None = None
        alive = list(self._workers)
        idle: list[WorkerProcess] = []
        while True:
            while idle and not exhausted and failure is None:
                batch = next(pending, None)
                exhausted = batch is None
                if batch is not None:
                    idle.pop(0).assign(batch)
            if (exhausted or failure is not None) and all(worker.current_part is None for worker in alive):
                break
            for connection in wait([worker.connection for worker in alive]):
                worker = next(one for one in alive if one.connection is connection)
                kind, *content = worker.receive()
                if kind == "ready":
                    self.facts = self.facts or content[0]
                    idle.append(worker)
                elif kind == "rows":
                    progress(content[0])
                elif kind == "done":
                    index, result, worker.peak_memory = content
                    worker.current_part, worker.parts_done = None, worker.parts_done + 1
                    idle.append(worker)
                    yield index, result
                elif kind == "warning":
                    warnings.warn(f"{worker.label}: {content[0]}", RuntimeWarning, stacklevel=2)
                else:
                    # Removed from `alive`, a failed worker's unfinished part no longer keeps the loop waiting.
                    alive.remove(worker)
                    failure = failure or worker.failure(content)
        if failure is not None:
            raise failure

    @property
    def peak_memory(self) -> int:
        """Sum of the workers' largest resident sets, in bytes."""
        return sum(worker.peak_memory for worker in self._workers)

    def worker_summaries(self) -> list[dict[str, Any]]:
        """Return device, finished parts and peak memory of each worker, for the manifest."""
        return [
            {
                "device": worker.device,
                "parts": worker.parts_done,
                "peak_memory_mb": round(worker.peak_memory / 2**20, 1),
            }
            for worker in self._workers
        ]


def open_pool(task: PartTask, devices: Sequence[str], threads: int) -> InProcess | WorkerPool:
    """Return `InProcess` for one device, a `WorkerPool` with one worker per device for several."""
    return WorkerPool(task, devices, threads) if len(devices) > 1 else InProcess(task, devices[0])
