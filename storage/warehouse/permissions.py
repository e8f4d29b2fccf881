"""Permissions of new files: those of the warehouse for their owner only, those that a user asked for by the umask.

Corpora are often private. The umask of the process covers every library that writes into the warehouse; outside
`private_files` it is the user's.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHERS = 0o077
"""Permissions that group and others do not get."""

_of_user: int | None = None
"""The user's umask while a stricter one is set."""


@contextmanager
def private_files(shared: bool = False) -> Iterator[None]:
    """Create files with 0600 and folders with 0700 in the block, or with less if the umask says so.

    Parameters
    ----------
    shared : bool
        Leave the umask as it is, for a warehouse of a group.
    """
    global _of_user
    if shared or _of_user is not None:
        yield
        return
    _of_user = _umask()
    os.umask(_of_user | OTHERS)
    try:
        yield
    finally:
        os.umask(_of_user)
        _of_user = None


@contextmanager
def files_of_user() -> Iterator[None]:
    """Create files with the user's umask in the block, for output outside the warehouse."""
    if _of_user is None:
        yield
        return
    os.umask(_of_user)
    try:
        yield
    finally:
        os.umask(_of_user | OTHERS)


def give_to_user(folder: Path) -> None:
    """Give what was copied from the warehouse into `folder` the permissions of the user's umask."""
    mask = _umask() if _of_user is None else _of_user
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def _umask() -> int:
    """Return the umask, which can only be read by setting it."""
    current = os.umask(OTHERS)
    os.umask(current)
    return current
