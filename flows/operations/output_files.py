"""Checks of the files that a user names for output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_special(path: Path, option: str) -> None:
    """Raise an error if `path` is a device, pipe or socket: writing would replace it by a file.

    Raises
    ------
    UsageError
        If it exists and is not a regular file.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{option} {path} is not a regular file; give the name of one, or a new name")
