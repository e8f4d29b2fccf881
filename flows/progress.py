"""Progress reporting of the stages: a bar on a terminal, plain lines otherwise, always on stderr.

A stage calls ``stage("score", total)`` and ``advance``; the code that starts the run chooses the listener.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from curate.schemas.terminal_text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 10.0


class Listener(Protocol):
    """Receives the progress of a run."""

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Start stage `name` of `total` rows (None = unknown), `done` of which were finished by an earlier run."""

    def advance(self, rows: int) -> None:
        """Count `rows` more."""

    def end(self) -> None:
        """Finish the stage."""

    def note(self, text: str) -> None:
        """Show one message."""


class SilentListener:
    """Ignores all progress: for tests and library use."""

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Do nothing."""

    def advance(self, rows: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class LineListener:
    """Writes a line when a stage begins, every ten seconds, and when it ends: for logs and pipes."""

    def __init__(self) -> None:
        self._name, self._done = "", 0
        self._total: int | None = None
        self._started = self._last_line = 0.0

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Write that the stage begins."""
        self._name, self._total, self._done = name, total, done
        self._started = self._last_line = time.monotonic()
        size = "" if total is None else f" {total:,} rows"
        resumed = f", {done:,} already done" if done else ""
        self._write(f"{name}:{size}{resumed} …")

    def advance(self, rows: int) -> None:
        """Write the number of finished rows if the last line is ten seconds old."""
        self._done += rows
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            of = f" of {self._total:,}" if self._total else ""
            self._write(f"{self._name}: {self._done:,}{of} rows, {now - self._started:.0f} s")

    def end(self) -> None:
        """Write how long the stage took."""
        self._write(f"{self._name}: done in {time.monotonic() - self._started:.1f} s")

    def note(self, text: str) -> None:
        """Write one message."""
        self._write(visible(text))

    @staticmethod
    def _write(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class BarListener:
    """Draws a progress bar per stage on a terminal."""

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
            # A stage with an unknown total would otherwise keep a pulsing bar after its end.
            done = self._progress.tasks[self._task].completed
            self._progress.update(self._task, total=done, completed=done)

    def note(self, text: str) -> None:
        """Print one message above the bars."""
        self._progress.console.print(visible(text), highlight=False, soft_wrap=True)


_SILENT = SilentListener()
# A context variable, not a global: Prefect runs tasks in threads that copy the context of the flow.
_listener: ContextVar[Listener] = ContextVar("listener", default=_SILENT)


@contextmanager
def stage(name: str, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Announce a stage to the run's listener and yield the function that counts its rows."""
    listener = _listener.get()
    listener.begin(name, total, done)
    yield listener.advance
    listener.end()


def note(text: str) -> None:
    """Send one message to the run's listener: a warning, or what was skipped and why."""
    _listener.get().note(text)


@contextmanager
def report_to(listener: Listener) -> Iterator[None]:
    """Send the progress of every stage inside the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def on_stderr() -> Iterator[None]:
    """Show progress on stderr: bars on a terminal, lines otherwise."""
    if not sys.stderr.isatty():
        with report_to(LineListener()):
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
        with report_to(BarListener(progress)):
            yield
