"""How a stage tells what it is doing: a bar on a terminal, plain lines otherwise, always on stderr.

A stage calls ``stage("score", total)`` and ``advance``; who listens was decided by whoever started the run.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 10.0


class Listener(Protocol):
    """What a run's progress is told to."""

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Start stage `name` of `total` rows (None = unknown), `done` of which were finished by an earlier run."""

    def advance(self, rows: int) -> None:
        """Count `rows` more."""

    def end(self) -> None:
        """Finish the stage."""

    def note(self, text: str) -> None:
        """Say one sentence."""


class Silent:
    """Tells nobody: tests and library use."""

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Do nothing."""

    def advance(self, rows: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class Lines:
    """Writes a line when a stage begins, every ten seconds, and when it ends: for logs and pipes."""

    def __init__(self) -> None:
        self._name, self._done = "", 0
        self._total: int | None = None
        self._began = self._told = 0.0

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Write that the stage begins."""
        self._name, self._total, self._done = name, total, done
        self._began = self._told = time.monotonic()
        size = "" if total is None else f" {total:,} rows"
        resumed = f", {done:,} already done" if done else ""
        self._write(f"{name}:{size}{resumed} …")

    def advance(self, rows: int) -> None:
        """Write how far it is, if the last line is ten seconds old."""
        self._done += rows
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            of = f" of {self._total:,}" if self._total else ""
            self._write(f"{self._name}: {self._done:,}{of} rows, {now - self._began:.0f} s")

    def end(self) -> None:
        """Write how long the stage took."""
        self._write(f"{self._name}: done in {time.monotonic() - self._began:.1f} s")

    def note(self, text: str) -> None:
        """Write one sentence."""
        self._write(text)

    @staticmethod
    def _write(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Bars:
    """Draws a bar per stage on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Add a bar."""
        self._task = self._progress.add_task(name, total=total, completed=done)

    def advance(self, rows: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, rows)

    def end(self) -> None:
        """Fill the bar, whatever its total was."""
        if self._task is not None:
            done = self._progress.tasks[self._task].completed
            self._progress.update(self._task, total=done, completed=done)

    def note(self, text: str) -> None:
        """Print one sentence above the bars."""
        self._progress.console.print(text, highlight=False, soft_wrap=True)


_SILENT = Silent()
_listener: ContextVar[Listener] = ContextVar("listener", default=_SILENT)


@contextmanager
def stage(name: str, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Announce a stage to the run's listener and yield the function that counts its rows."""
    listener = _listener.get()
    listener.begin(name, total, done)
    yield listener.advance
    listener.end()


def note(text: str) -> None:
    """Tell the run's listener one sentence: a warning, or what was skipped and why."""
    _listener.get().note(text)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Make `listener` hear of every stage inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def on_stderr() -> Iterator[None]:
    """Show progress on stderr: bars on a terminal, lines otherwise."""
    if not sys.stderr.isatty():
        with told_to(Lines()):
            yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        with told_to(Bars(progress)):
            yield
