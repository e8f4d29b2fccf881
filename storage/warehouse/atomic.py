"""Atomic file writes: temporary file, fsync, rename, fsync of the folder; OS errors become one-sentence messages.

All renames inside the warehouse go through `rename`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = ".tmp-"
"""Prefix of unfinished files. They also get another suffix than their target, so that no reader's glob matches them."""

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
def disk_errors(action: str, path: Path, size: int | None = None) -> Iterator[None]:
    """Turn an `OSError` raised in the block into a `WarehouseError` with a one-sentence message.

    Parameters
    ----------
    action : str
        Verb for the message: ``"write"``.
    path : Path
        File or folder of the operation.
    size : int, optional
        Bytes that are written; if the disk is full, the message says how many are missing.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see `curate doctor`")
        reason = error.strerror or str(error)
        if error.errno == errno.ENOSPC:
            reason += f" ({space(path.parent, size)})"
        raise WarehouseError(f"cannot {action} {path}: {reason}; {remedy}") from error


def space(folder: Path, size: int | None) -> str:
    """Return a clause about the disk of `folder`: what is free, and what is missing of `size` bytes."""
    free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.is_dir())).free
    if size is None:
        return f"{free / 1e6:,.1f} MB are free"
    missing = f", at least {(size - free) / 1e6:,.1f} MB are missing" if size > free else ""
    return f"{size / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free{missing}"


def rename(source: Path, target: Path) -> None:
    """Replace `target` by `source` atomically and durably."""
    os.replace(source, target)
    # Without an fsync of the folder, the rename itself can be lost in a power failure.
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents.

    Raises
    ------
    WarehouseError
        If it cannot be created.
    """
    if folder.is_dir():
        return
    with disk_errors("create the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def temporary_path(path: Path) -> Path:
    """Return the temporary name for writing `path`: in the same folder, since a rename cannot cross file systems."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}.unfinished")


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file atomically; on failure the old file stays.

    Raises
    ------
    WarehouseError
        If it cannot be written: disk full or read-only, quota or file-size limit exceeded.
    """
    with open_atomic(path, memoryview(data).nbytes) as file:
        file.write(data)


@contextmanager
def open_atomic(path: Path, size: int | None = None) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` when the block succeeds; on failure the old file stays.

    Parameters
    ----------
    size : int, optional
        Bytes that will be written, for the message on a full disk.

    Raises
    ------
    WarehouseError
        If it cannot be written: disk full or read-only, quota or file-size limit exceeded.
    """
    unfinished = temporary_path(path)
    with disk_errors("write", path, size):
        try:
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                # Before the rename: otherwise a power failure could leave an empty file under the final name.
                os.fsync(file.fileno())
            rename(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise


def append_line(path: Path, line: str) -> None:
    """Append one line durably; after a kill the last line may be incomplete, and readers must expect that.

    Raises
    ------
    WarehouseError
        If it cannot be written.
    """
    with disk_errors("write", path), path.open("ab") as file:
        file.write(line.encode("utf-8") + b"\n")
        file.flush()
        os.fsync(file.fileno())


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that a killed process left. The caller must hold the folder's lock.

    Raises
    ------
    WarehouseError
        If they cannot be removed.
    """
    with disk_errors("clean", folder):
        for path in folder.glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)
