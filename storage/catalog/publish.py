"""Publishes the DuckDB catalog: views over the artefacts' Parquet files, and a few small tables.

DuckDB lets either one process write a file or many processes read it. So the next catalog is made under a temporary
name and renamed over the old one: open sessions keep reading the old file, new sessions open the new one. It begins as
a copy of the old one, to which only the changes of the warehouse are written; where that is not possible, it is built
from all manifests. Of the rows of artefacts, only the allocations of selections are read.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from curate.schemas.errors import WarehouseError, first_line
from curate.storage.catalog import applied, tiers
from curate.storage.catalog.changes import find_changes
from curate.storage.catalog.location import FILE
from curate.storage.catalog.sql_text import quoted
from curate.storage.warehouse import atomic, lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.storage.warehouse.warehouse import Warehouse

_log = logging.getLogger(__name__)
_FULL = {os.strerror(errno.ENOSPC): "free some space", os.strerror(errno.EDQUOT): "free some of the quota"}
"""What DuckDB quotes if nothing more can be written, and what to do."""


class Published(NamedTuple):
    """A catalog and what it lacks."""

    path: Path
    """The catalog file."""
    left_out: list[str]
    """A sentence for each artefact and run record that cannot be read, and is not in it."""


def publish(warehouse: Warehouse, anew: bool = False) -> Published:
    """Bring the catalog up to date with the manifests and run records, and replace the old one.

    An artefact whose manifest or first part cannot be read, or that lacks a part, is left out with a logged warning.
    Costs a few small reads per new or changed artefact, and two calls of ``stat`` for every other one.

    Parameters
    ----------
    anew : bool
        Build it from all manifests, as the first time.

    Raises
    ------
    WarehouseError
        If the catalog cannot be written, or another process publishes for longer than the warehouse's lock timeout.
    """
    target = warehouse.root / FILE
    with lock.locked(warehouse.root / ".catalog.lock", warehouse.lock_timeout, f"the catalog {target}"):
        atomic.remove_temporary_files(warehouse.root)
        unfinished = atomic.temporary_path(target)
        try:
            left_out = None if anew else _continue(unfinished, target, warehouse)
            if left_out is None:
                left_out = _build(unfinished, warehouse)
        except WarehouseError:
            atomic.remove_temporary_files(warehouse.root)
            raise
        except (duckdb.Error, UnicodeEncodeError) as error:
            atomic.remove_temporary_files(warehouse.root)
            raise WarehouseError(f"cannot write {target}: {_explained(error, warehouse)}") from error
        with atomic.disk_errors("write", target):
            # DuckDB would replay the write-ahead log of a client that was killed onto the new file.
            target.with_name(f"{FILE}.wal").unlink(missing_ok=True)
            atomic.sync_file(unfinished)
            atomic.rename(unfinished, target)
    for problem in left_out:
        _log.warning("%s", problem)
    return Published(target, left_out)


def _full(error: Exception) -> str | None:
    return next((reason for reason in _FULL if reason in str(error)), None)


def _explained(error: Exception, warehouse: Warehouse) -> str:
    """Return why a catalog cannot be written, and what to do."""
    reason = _full(error)
    if reason is None:
        # All lines: if a checkpoint fails, the error of the system stands in the second.
        return f"{' '.join(str(error).split())}; see `curate doctor`"
    # The space that is free on the disk says nothing of a quota.
    free = f" ({atomic.space(warehouse.root, _size(warehouse))})" if reason == os.strerror(errno.ENOSPC) else ""
    return f"{reason}{free}; all artefacts are kept; {_FULL[reason]} and run `curate catalog rebuild`"


def _size(warehouse: Warehouse) -> int | None:
    """Return the bytes of a new catalog, by building it on the disk for temporary files; None if that is full too."""
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        try:
            _build(Path(folder) / FILE, warehouse)
            return (Path(folder) / FILE).stat().st_size
        except (duckdb.Error, OSError):
            return None


def _build(path: Path, warehouse: Warehouse) -> list[str]:
    """Write a catalog from all manifests, and return what was left out."""
    with _database(path) as con:
        tiers.create(con, warehouse.root)
        return applied.apply(con, warehouse, find_changes(con, warehouse))


def _continue(path: Path, previous: Path, warehouse: Warehouse) -> list[str] | None:
    """Write the changes to a copy of the previous catalog, and return what was left out; None if it must be built anew.

    That is so for a catalog of another version or folder, one that cannot be read, and one that a client changed.
    """
    if not previous.is_file() or previous.with_name(f"{FILE}.wal").exists():
        return None
    try:
        with atomic.disk_errors("write", previous, previous.stat().st_size):
            shutil.copyfile(previous, path)
        with _database(path) as con:
            if tiers.continues(con, warehouse.root):
                return applied.apply(con, warehouse, find_changes(con, warehouse))
    except duckdb.Error as error:
        if _full(error):
            raise
        _log.warning("%s is built anew: %s", previous, first_line(error))
    for written in (path, path.with_name(f"{path.name}.wal")):
        written.unlink(missing_ok=True)
    return None


@contextmanager
def _database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a session in one transaction on a database file, which is complete on disk after the block."""
    with duckdb.connect() as con:
        con.execute(f"ATTACH {quoted(str(path))} AS catalog")
        con.execute("USE catalog")
        con.execute("BEGIN")  # one write to disk instead of one per statement
        yield con
        con.execute("COMMIT")
        con.execute("USE memory")
        con.execute("DETACH catalog")
