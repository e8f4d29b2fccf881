"""The drop folder of a scheduled run: the files that lie in it and are no longer being written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED = (".part", ".tmp", ".crdownload", ".swp", "~")
"""How the names of files end that a program is still writing or has left behind."""


def settled_files(folder: Path, settle_seconds: float, now: float | None = None) -> tuple[str, ...]:
    """Return the files of a drop folder and its folders that a run may read, as absolute paths sorted by name.

    Hidden files, files with the name of an unfinished one, and files that changed within the last `settle_seconds` are
    left for the next run, since somebody may still be copying them.

    Parameters
    ----------
    folder : Path
        The drop folder.
    settle_seconds : float
        How long a file must have been left alone, in seconds.
    now : float, optional
        Seconds since the epoch; the present where not given.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no drop folder {folder}; make it, or name another as the parameter drop")
    now = time.time() if now is None else now
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or path.name.endswith(UNFINISHED):
            continue
        if path.is_file() and path.stat().st_size and now - path.stat().st_mtime >= settle_seconds:
            found.append(str(path.absolute()))
    return tuple(found)
