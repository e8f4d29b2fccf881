"""Parts worked on by several processes, each with models of its own on its own device.

A part's result depends on that part alone, so that who worked on it does not matter: results come as they are
finished. Processes are started anew, never forked, and end with this one. Knows nothing of what is worked on, and
imports no torch; `worker` is the other side.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Protocol

from curate.engines.workers.process import Hand, hire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from curate.engines.workers.process import Part
    from curate.schemas.errors import CurateError

Progress = Callable[[int], None]
DoPart = Callable[[int, Any, Progress], Any]
"""Takes the number of a part, its rows, and what to call with the number of rows done since the last call."""


class Task(Protocol):
    """What every process does; it is sent to each, so that it holds names rather than models."""

    def open(self, device: str) -> tuple[dict[str, Any], DoPart]:
        """Load what is needed onto a device; return what a manifest should say of it, and what does a part."""


@dataclass(eq=False)
class Alone:
    """The process itself does every part, with the interface of `Workers`."""

    task: Task
    device: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Alone:
        self.facts, self._do = self.task.open(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        del self._do

    def run(self, parts: Iterable[Part], progress: Progress) -> Iterator[tuple[int, Any]]:
        """Yield number and result of every part, in order."""
        for index, batch in parts:
            yield index, self._do(index, batch, progress)

    @property
    def peak(self) -> int:
        """Memory of other processes: none."""
        return 0

    def told(self) -> list[dict[str, Any]]:
        """Return nothing: there are no other processes."""
        return []


@dataclass(eq=False)
class Workers:
    """Processes that share parts; a context manager, whose end ends them.

    Parameters
    ----------
    task : Task
    devices : sequence of str
        One for each process; see `devices.worker_devices`.
    threads : int
        CPU threads of them all together; each has an equal share, and at least one.
    """

    task: Task
    devices: Sequence[str]
    threads: int
    facts: dict[str, Any] = field(default_factory=dict)
    """What `Task.open` found, once a part is done."""

    def __enter__(self) -> Workers:
        self._hands: list[Hand] = []
        try:
            for number, device in enumerate(self.devices, start=1):
                label = f"worker {number} of {len(self.devices)} on {device}"
                self._hands.append(hire(label, device, max(1, self.threads // len(self.devices))))
                self._hands[-1].say((self.task, device))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hand in self._hands:
            hand.connection.close()
        for hand in self._hands:
            hand.end()

    def run(self, parts: Iterable[Part], progress: Progress) -> Iterator[tuple[int, Any]]:
        """Yield number and result of every part, in the order in which they are finished.

        When a process fails, no part is begun any more; those in work elsewhere are finished and yielded first.

        Parameters
        ----------
        parts : iterable of (int, RecordBatch)
            Read when a process is free for the next.
        progress : callable
            Called with the number of rows finished since the last call, anywhere.

        Raises
        ------
        CurateError
            Naming the process, its device and what it said; or how it ended, and in which part.
        """
        waiting, exhausted = iter(parts), False
        failure: CurateError | None = None
        alive = list(self._hands)
        free: list[Hand] = []
        while True:
            while free and not exhausted and failure is None:
                given = next(waiting, None)
                exhausted = given is None
                if given is not None:
                    free.pop(0).take(given)
            if (exhausted or failure is not None) and all(hand.part is None for hand in alive):
                break
            for connection in wait([hand.connection for hand in alive]):
                hand = next(one for one in alive if one.connection is connection)
                kind, *what = hand.answer()
                if kind == "ready":
                    self.facts = self.facts or what[0]
                    free.append(hand)
                elif kind == "rows":
                    progress(what[0])
                elif kind == "done":
                    index, result, hand.peak = what
                    hand.part, hand.done = None, hand.done + 1
                    free.append(hand)
                    yield index, result
                elif kind == "warning":
                    warnings.warn(f"{hand.label}: {what[0]}", RuntimeWarning, stacklevel=2)
                else:
                    alive.remove(hand)
                    failure = failure or hand.failure(what)
        if failure is not None:
            raise failure

    @property
    def peak(self) -> int:
        """Their largest resident sets together, in bytes."""
        return sum(hand.peak for hand in self._hands)

    def told(self) -> list[dict[str, Any]]:
        """Return device, finished parts and peak memory of each, for the manifest."""
        return [
            {"device": hand.device, "parts": hand.done, "peak_memory_mb": round(hand.peak / 2**20, 1)}
            for hand in self._hands
        ]


def at_work(task: Task, devices: Sequence[str], threads: int) -> Alone | Workers:
    """Return who does the parts: this process on one device, or a process for each of several."""
    return Workers(task, devices, threads) if len(devices) > 1 else Alone(task, devices[0])
