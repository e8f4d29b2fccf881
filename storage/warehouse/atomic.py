"""Files that are there whole or not at all: temporary name, fsync, one rename, fsync of the folder.

Every rename of the warehouse goes through `rename`, and every failure of the disk leaves as one sentence. Knows
nothing of artefacts, Parquet or locks.
"""

from __future__ import annotations

import contextlib
import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = ".tmp-"
"""How the name of every unfinished file begins. It ends unlike its target's, so that no glob of a reader sees it."""

_REMEDIES = {
    errno.ENOSPC: "free some space and run the same command again, finished parts are kept",
    errno.EDQUOT: "free some of the quota and run the same command again, finished parts are kept",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) and run the same command again, finished parts are kept",
    errno.EROFS: "choose another folder with --warehouse",
    errno.EACCES: "give this user the right to it, or choose another folder with --warehouse",
    errno.EPERM: "give this user the right to it, or choose another folder with --warehouse",
    errno.ENOTDIR: "choose another folder with --warehouse",
    errno.ENOENT: "run the same command again, or `curate doctor` to see what is missing",
}


@contextmanager
def reporting(doing: str, path: Path) -> Iterator[None]:
    """Turn any `OSError` of the block into a `WarehouseError` of one sentence.

    Parameters
    ----------
    doing : str
        What was tried, as a verb: ``"write"``.
    path : Path
        The file or folder that it was tried on.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see `curate doctor`")
        raise WarehouseError(f"cannot {doing} {path}: {error.strerror or error}; {remedy}") from error


def rename(source: Path, target: Path) -> None:
    """Move `source` over `target` in one step and make the move last: the moment at which a file comes to be."""
    os.replace(source, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last through a power failure."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Make the content of a file, or the names in a folder, last through a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it.

    Raises
    ------
    WarehouseError
        If it cannot be made.
    """
    if folder.is_dir():
        return
    with reporting("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def temporary(path: Path) -> Path:
    """Return the temporary name under which `path` is to be written: same folder, so same filesystem."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}.unfinished")


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file, or leave what was there.

    Raises
    ------
    WarehouseError
        If the disk refuses: full, read-only, over a quota or a file-size limit.
    """
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` when the block ends well; otherwise what was there is left.

    Raises
    ------
    WarehouseError
        If the disk refuses: full, read-only, over a quota or a file-size limit.
    """
    unfinished = temporary(path)
    with reporting("write", path):
        try:
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            rename(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise


def append_line(path: Path, line: str) -> None:
    """Append one line and make it last; a reader has to expect a torn last line after a kill.

    Raises
    ------
    WarehouseError
        If the disk refuses.
    """
    with reporting("write", path), path.open("ab") as file:
        file.write(line.encode("utf-8") + b"\n")
        file.flush()
        os.fsync(file.fileno())


def clean(folder: Path) -> None:
    """Remove the unfinished files that a killed attempt left. Only for whoever holds the folder's lock.

    Raises
    ------
    WarehouseError
        If they cannot be removed.
    """
    with reporting("clean", folder):
        for path in folder.glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)
