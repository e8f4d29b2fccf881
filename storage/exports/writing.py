"""Writes export records to files atomically, and counts the rows written and left out."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from curate.schemas.errors import InputError
from curate.storage.exports.rows import KeptRow, UnsupportedRow
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


@dataclass
class ExportCounts:
    """Counts of rows written and left out, filled while `convert` is consumed."""

    rows: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    """Example id to the reason why it was left out."""

    def convert(self, rows: Iterable[KeptRow], shape: Callable[[KeptRow], Any]) -> Iterator[Any]:
        """Yield the record of every row that `shape` can represent.

        Raises
        ------
        InputError
            At the end, if there was none.
        """
        for row in rows:
            try:
                record = shape(row)
            except UnsupportedRow as unfit:
                self.left_out[row.example_id] = str(unfit)
                continue
            self.rows += 1
            self.licences.update(row.licences)
            self.sources.update(row.sources)
            yield record
        if not self.rows:
            reason = next(iter(self.left_out.values()), "the selection keeps no rows")
            raise InputError(
                f"none of the {len(self.left_out)} kept rows can be written in this format: {reason}; "
                "choose --to sharegpt"
            )


@dataclass(frozen=True)
class Destination:
    """Where an export is written."""

    folder: Path
    """The user's folder; exists."""
    name: str
    """Beginning of all file names."""
    scratch: Path
    """Folder for unfinished folders: the warehouse, so that a killed export leaves nothing in the user's folder."""
    lock_timeout: float
    """Longest wait, in seconds, for another export into the same folder."""


@contextmanager
def open_nameless(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that gets the name `path` when the block succeeds.

    Until then it has no name, so that nothing is left of it if the process is killed. Where the file system has no such
    files, it has a temporary name.

    Raises
    ------
    WarehouseError
        If it cannot be written.
    """
    try:
        handle = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):
        with atomic.open_atomic(path) as file:
            yield file
        return
    with atomic.disk_errors("write", path), os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        try:
            _link(file.fileno(), path)
        except FileExistsError:  # a link replaces nothing, a rename does
            unfinished = atomic.temporary_path(path)
            unfinished.unlink(missing_ok=True)
            _link(file.fileno(), unfinished)
            atomic.rename(unfinished, path)
        atomic.sync_folder(path.parent)


def _link(handle: int, path: Path) -> None:
    """Give a file without a name the name `path`."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # Only with a folder does Python follow the link in /proc to the file.
        os.link(f"/proc/self/fd/{handle}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one piece."""
    with open_nameless(path) as file:
        file.write(data)


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write one JSON object per line."""
    with open_nameless(path) as file:
        for record in records:
            file.write(_json(record) + b"\n")


def write_array(path: Path, records: Iterable[Any]) -> None:
    """Write one JSON array, one element per line."""
    with open_nameless(path) as file:
        separator = b"[\n"
        for record in records:
            file.write(separator + _json(record))
            separator = b",\n"
        file.write(b"\n]\n")


def write_document(path: Path, value: Any) -> None:
    """Write one indented JSON document."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def _json(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()
