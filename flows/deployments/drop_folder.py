"""The drop folder of a scheduled run: lists the files in it that are no longer being written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED = (".part", ".tmp", ".crdownload", ".swp", "~")
"""Endings of the names of files that another program is still writing or has abandoned."""


def settled_files(folder: Path, settle_seconds: float, now: float | None = None) -> tuple[str, ...]:
    """Return the files of a drop folder and its subfolders that a run may read, as absolute paths sorted by name.

    Hidden files, files with the name of an unfinished one, and files that changed within the last `settle_seconds` are
    left for the next run, since they may still be copied.

    Parameters
    ----------
    folder : Path
        The drop folder.
    settle_seconds : float
        Least time since the last change of a file, in seconds.
    now : float, optional
        Seconds since the epoch; the current time where not given.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"there is no drop folder {folder}; create it, or set the parameter drop to another folder")
    now = time.time() if now is None else now
    settled = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or path.name.endswith(UNFINISHED):
            continue
        # An empty file is often a placeholder of a copy that has just started.
        if path.is_file() and path.stat().st_size and now - path.stat().st_mtime >= settle_seconds:
            settled.append(str(path.absolute()))
    return tuple(settled)
