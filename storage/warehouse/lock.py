"""File locks: advisory locks (flock) with a timeout, released by the kernel when their process ends.

The holder writes its process id and host into the lock file, so that the error of a timeout can name it. Lock files are
never removed: after a removal, two processes could hold locks on two files of the same name.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from curate.schemas.errors import WarehouseError
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5


@contextmanager
def locked(path: Path, timeout: float, what: str) -> Iterator[None]:
    """Hold the lock file `path` for the block.

    Parameters
    ----------
    path : Path
        Lock file; created, with its folder, if missing.
    timeout : float
        Longest wait, in seconds; 0 tries once.
    what : str
        Subject of the error message: ``"scores 3f…"``.

    Raises
    ------
    WarehouseError
        If another process holds it for longer than `timeout` (the message names it), or it cannot be opened.
    """
    atomic.make_folder(path.parent)
    with atomic.disk_errors("lock", path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _wait(handle, path, timeout, what)
        _sign(handle, path)
        yield
    finally:
        os.close(handle)


@contextmanager
def locked_folder(folder: Path, timeout: float, what: str) -> Iterator[None]:
    """Hold the lock of an existing folder itself for the block; leaves no file in it.

    Parameters
    ----------
    timeout : float
        Longest wait, in seconds; 0 tries once.
    what : str
        Subject of the error message.

    Raises
    ------
    WarehouseError
        If another process holds it for longer than `timeout`, or it cannot be opened.
    """
    with atomic.disk_errors("lock", folder):
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _wait(handle, folder, timeout, what)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        with atomic.disk_errors("lock", path):
            if _try_lock(handle):
                return
        left = deadline - time.monotonic()
        if left <= 0:
            raise WarehouseError(
                f"{what} is locked by {_holder(handle)}; waited {timeout:g} s, "
                "run again when that process is done, or set a longer lock timeout"
            )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(handle: int, path: Path) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    with atomic.disk_errors("lock", path):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)


def _holder(handle: int) -> str:
    try:
        who = json.loads(os.pread(handle, 4096, 0))
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # a folder, or it has the lock and has not written its name yet
        return "another process"
