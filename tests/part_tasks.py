"""A task for worker processes that can fail on purpose. Workers import it, so it is not a test file."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class DoublingTask:
    """Doubles numbers, with named events in chosen parts."""

    folder: Path
    """Workers coordinate through empty files here."""
    events: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """By part: ``refuse``, ``break``, ``die``, ``die_once``, ``warn``, ``hang``, ``wait`` (until the failing part has
    failed)."""
    refuses_to_open: str = ""
    """Device on which loading fails."""

    def open(self, device: str) -> tuple[dict[str, Any], Callable[..., Any]]:
        """Return facts and the function that computes a part."""
        if device == self.refuses_to_open:
            self._wait_then_mark_failing()
            raise InputError("no such model; give another")
        return {"loaded": True}, self._compute

    def models(self) -> dict[str, list[Path]]:
        """Return nothing: the task has no models."""
        return {}

    def with_folders(self, folders: Mapping[str, str]) -> DoublingTask:
        """Return the task."""
        return self

    def _compute(self, index: int, numbers: list[int], progress: Callable[[int], None]) -> tuple[list[int], str, int]:
        (self.folder / f"started-{index}").touch()
        for event in self.events.get(index, ()):
            getattr(self, f"_{event}")()
        for _ in numbers:
            progress(1)
        return [2 * number for number in numbers], os.environ["OMP_NUM_THREADS"], os.getpid()

    def _refuse(self) -> None:
        self._wait_then_mark_failing()
        raise InputError("one row does not fit; lower --max-length")

    def _break(self) -> None:
        self._wait_then_mark_failing()
        raise ZeroDivisionError("a mistake")

    def _die(self) -> None:
        self._wait_then_mark_failing()
        print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def _die_once(self) -> None:
        """End the process in the first attempt at the part."""
        if not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def _warn(self) -> None:
        warnings.warn("out of memory: going on", RuntimeWarning, stacklevel=1)

    def _wait_then_mark_failing(self) -> None:
        while not (self.folder / "started-0").exists():
            time.sleep(0.01)
        (self.folder / "failing").touch()

    def _wait(self) -> None:
        """Keep computing while another part fails, and half a second longer."""
        while not (self.folder / "failing").exists():
            time.sleep(0.01)
        time.sleep(0.5)

    def _hang(self) -> None:
        time.sleep(600)
