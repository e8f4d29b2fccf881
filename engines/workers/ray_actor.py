"""The node's side of a Ray actor that computes parts; `curate.engines.workers.ray_pool` is the driver's.

Each call streams messages (`curate.engines.workers.messages`): progress while the work runs, then its result. Imports
no ray, so that it can be tested without a cluster.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from curate.engines.library_output import silence_libraries
from curate.engines.workers.messages import failed, is_ours, versions
from curate.engines.workers.shipping import check_present, unpack
from curate.schemas.peak_memory import peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from curate.engines.workers.pool import TravellingTask
    from curate.engines.workers.shipping import FileSizes, ShippedFiles

SECONDS_BETWEEN_ROWS = 1.0
"""Batches may take milliseconds, and every message costs the driver some."""

LAST = ("ready", "done", "failed")
"""Kinds of message that end a stream."""


class PartActor:
    """Opens a task and computes its parts."""

    def __init__(self) -> None:
        # Ray prints a node's lines on the driver's stream of the same name, and the driver's stdout is for results.
        os.dup2(2, 1)
        silence_libraries()
        self._messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        warnings.showwarning = self._warn

    def open(
        self, task: TravellingTask, device: str, models: Mapping[str, ShippedFiles], expected: Mapping[str, FileSizes]
    ) -> Iterator[tuple[Any, ...]]:
        """Write the shipped models to this node's cache, load all, and stream messages up to ``ready``.

        Parameters
        ----------
        models : mapping of str to ShippedFiles
            Models that travel with the task, by name.
        expected : mapping of str to FileSizes
            Folders that the node must have itself, with the sizes of their files.
        """

        def opened() -> tuple[Any, ...]:
            for folder, sizes in expected.items():
                check_present(folder, sizes)
            here = task.with_folders({name: str(unpack(model)) for name, model in models.items()})
            facts, self._compute_part = here.open(device)
            return "ready", facts, versions()

        yield from self._streamed(opened)

    def compute(self, index: int, batch: Any) -> Iterator[tuple[Any, ...]]:
        """Compute one part, and stream messages up to ``done``."""

        def computed() -> tuple[Any, ...]:
            rows = _Rows(self._messages)
            result = self._compute_part(index, batch, rows)
            rows.flush()
            return "done", index, result, peak_memory()

        yield from self._streamed(computed)

    def _streamed(self, work: Callable[[], tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Run `work` in a thread of its own, so that its messages are sent while it runs."""

        def run() -> None:
            try:
                self._messages.put(work())
            except Exception as error:  # noqa: BLE001  (the driver waits for an answer, whatever went wrong)
                self._messages.put(failed(error))

        threading.Thread(target=run, daemon=True).start()
        while True:
            message = self._messages.get()
            yield message
            if message[0] in LAST:
                return

    def _warn(self, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if is_ours(category):
            self._messages.put(("warning", str(message)))


class _Rows:
    """Adds up finished rows, and reports them once a second; batches report from several threads."""

    def __init__(self, messages: queue.SimpleQueue[tuple[Any, ...]]) -> None:
        self._messages = messages
        self._lock = threading.Lock()
        self._rows = 0
        self._due = time.monotonic() + SECONDS_BETWEEN_ROWS

    def __call__(self, rows: int) -> None:
        with self._lock:
            self._rows += rows
            due = time.monotonic() >= self._due
        if due:
            self.flush()

    def flush(self) -> None:
        """Report what has been added up."""
        with self._lock:
            rows, self._rows = self._rows, 0
            self._due = time.monotonic() + SECONDS_BETWEEN_ROWS
        if rows:
            self._messages.put(("rows", rows))
