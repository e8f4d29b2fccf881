"""Callbacks of a recovery: its progress, and whether it should stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Callable


class Interrupted(CurateError):
    """The recovery stopped on request, with a checkpoint from which the same call resumes (exit 130)."""

    exit_code = 130


def _ignore(*_: object) -> None:
    """Do nothing."""


def _never() -> bool:
    """Return False."""
    return False


@dataclass(frozen=True)
class Observer:
    """What a recovery calls while it runs. The defaults do nothing."""

    on_step: Callable[[dict[str, Any], int], None] = _ignore
    """Called after every optimiser step with its row of ``METRICS`` and the total number of steps."""
    on_layer: Callable[[int, int], None] = _ignore
    """Called after every reconstructed layer with (layers done, layers in all)."""
    on_rows_read: Callable[[int, int], None] = _ignore
    """Called while the original's predictions are computed, with (rows done, rows in all)."""
    should_stop: Callable[[], bool] = _never
    """Polled after every step, layer and part of the original's rows; True raises `Interrupted` after a checkpoint."""


SILENT = Observer()
"""An observer that does nothing."""
