"""Numbers the artefacts of a warehouse in the order in which they are finished; clocks may be set back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.artefacts import NOUNS
from curate.storage.warehouse import atomic, lock
from curate.storage.warehouse.listing import list_artefacts

if TYPE_CHECKING:
    from pathlib import Path

FILE = ".sequence"
"""File in the warehouse with the last number, as text."""


def next_number(root: Path, lock_timeout: float) -> int:
    """Return a number larger than that of every artefact of the warehouse; no two calls return the same.

    Raises
    ------
    WarehouseError
        If the number cannot be stored, or another process holds the lock for longer than `lock_timeout` seconds.
    """
    path = root / FILE
    with lock.locked(root / ".sequence.lock", lock_timeout, f"the sequence of artefacts in {root}"):
        number = 1 + (_stored(path) or _largest(root))
        atomic.write_bytes(path, f"{number}\n".encode())
    return number


def _stored(path: Path) -> int | None:
    """Return the last number; None if the file is missing or damaged, as in a warehouse of an earlier version."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _largest(root: Path) -> int:
    """Return the largest number in a readable manifest."""
    return max((one.sequence for noun in NOUNS for one in list_artefacts(root, noun).manifests), default=0)
