"""The DuckDB catalog: views over the artefacts' Parquet files and a few small tables, rebuilt and renamed in.

DuckDB lets one process write or many read a file. So the catalog is built under another name and renamed over the old
one: an open session goes on with the old file, a new one finds the new. Reads no rows but each selection's allocation.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from curate.schemas.artefacts import NOUNS, Manifest, Noun
from curate.schemas.errors import WarehouseError, first_line
from curate.storage.catalog import table_rows
from curate.storage.catalog.sql_text import name, quoted, quoted_list
from curate.storage.catalog.stored_tables import STORED
from curate.storage.catalog.views import EXAMPLES_VIEW, SOURCES_OF, VIEWS, Column, View
from curate.storage.warehouse import atomic, lock, part_file, runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

FILE = "catalog.duckdb"

_log = logging.getLogger(__name__)


def publish(warehouse: Warehouse) -> Path:
    """Rebuild the catalog from the manifests and run records, and rename it in.

    An artefact whose manifest or first part cannot be read, or of which a part is missing, is left out with a logged
    warning. Costs a few small reads an artefact, whatever the number of its rows.

    Returns
    -------
    Path
        The catalog file.

    Raises
    ------
    WarehouseError
        If the disk refuses, or another process publishes for longer than the warehouse's lock timeout.
    """
    target = warehouse.root / FILE
    with lock.locked(warehouse.root / ".catalog.lock", warehouse.lock_timeout, f"the catalog {target}"):
        atomic.clean(warehouse.root)
        unfinished = atomic.temporary(target)
        manifests = {noun: warehouse.list_readable(noun)[::-1] for noun in NOUNS}
        try:
            _build(unfinished, warehouse, manifests)
        except (duckdb.Error, UnicodeEncodeError) as error:
            atomic.clean(warehouse.root)
            raise WarehouseError(f"cannot write {target}: {first_line(error)}; see `curate doctor`") from error
        with atomic.reporting("write", target):
            # A log left by a foreign writer that died would be replayed onto the new file.
            target.with_name(f"{FILE}.wal").unlink(missing_ok=True)
            atomic.sync_file(unfinished)
            atomic.rename(unfinished, target)
    return target


def _build(path: Path, warehouse: Warehouse, manifests: Mapping[Noun, Sequence[Manifest]]) -> None:
    records, problems = runs.read_runs(warehouse.root)
    for problem in problems:
        _log.warning("%s", problem)
    with duckdb.connect() as con:
        con.execute(f"ATTACH {quoted(str(path))} AS catalog")
        con.execute("USE catalog")
        con.execute("BEGIN")  # one write to the disk instead of one a statement
        for view in VIEWS:
            con.execute(view_sql(view, warehouse, manifests[view.noun]))
        rows = table_rows.stored_rows(warehouse, manifests, records)
        for table in STORED:
            _store(con, table.name, table.columns, rows[table.name])
        con.execute("COMMIT")
        con.execute("USE memory")
        con.execute("DETACH catalog")


def view_sql(view: View, warehouse: Warehouse, manifests: Sequence[Manifest]) -> str:
    """Return the statement that makes one view: one branch an artefact, so that an id in a WHERE opens only its files.

    Columns that an artefact of an older version lacks are null; with no artefact at all the view is empty and typed.
    """
    branches = []
    for manifest in manifests:
        try:
            branches.extend(_branch(view, manifest, warehouse.folder(manifest.noun, manifest.id)))
        except (OSError, pa.ArrowInvalid) as error:
            _log.warning("%s %s is left out of %s: %s", manifest.noun, manifest.id, view.name, error)
    if not branches:
        nothing = ", ".join(f"NULL::{one.type} AS {name(one.name)}" for one in view.columns)
        branches = [f"SELECT {nothing} WHERE false"]
    return f"CREATE VIEW {name(view.name)} AS\n" + "\nUNION ALL\n".join(branches)


def _branch(view: View, manifest: Manifest, folder: Path) -> list[str]:
    """Return the SELECT over one artefact's parts, or nothing if it has none."""
    files = _files(manifest, view.source, folder)
    listed = _files(manifest, "sources", folder) if view is EXAMPLES_VIEW else []
    if not files:
        return []
    # DuckDB refuses a view of which one file is missing, and with it all others of the same kind.
    for path in (*files, *listed):
        path.stat()
    there = set(part_file.column_names(files[0]))
    first, *rest = view.columns
    columns = [f"{quoted(manifest.id)}::VARCHAR AS {name(first.name)}"]
    columns += [_column(one, there) for one in rest if one is not SOURCES_OF]
    source = f"{_scan(files)} AS rows"
    if view is EXAMPLES_VIEW:
        columns.append(f"listed.sources::{SOURCES_OF.type} AS {name(SOURCES_OF.name)}")
        source += f"\nLEFT JOIN ({_listed(listed)}) AS listed USING (example_id)"
    return [f"SELECT {', '.join(columns)}\nFROM {source}"]


def _files(manifest: Manifest, table: str, folder: Path) -> list[Path]:
    return [folder / part.file for part in manifest.parts if part.table == table]


def _column(column: Column, there: set[str]) -> str:
    value = f"rows.{name(column.name)}" if column.name in there else "NULL"
    return f"{value}::{column.type} AS {name(column.name)}"


def _scan(files: Sequence[Path]) -> str:
    # A folder called licence=x above the warehouse must not become a column.
    return f"read_parquet({quoted_list(str(path) for path in files)}, hive_partitioning = false)"


def _listed(files: Sequence[Path]) -> str:
    """Return the SELECT of every example's sources, for a corpus without any too."""
    if not files:
        return "SELECT NULL::VARCHAR AS example_id, NULL AS sources WHERE false"
    packed = 'list_sort(list(struct_pack("source" := "source", "row" := "row", "licence" := licence)))'
    return f"SELECT example_id, {packed} AS sources FROM {_scan(files)} GROUP BY example_id"


def _store(
    con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[Column], rows: Sequence[Mapping[str, object]]
) -> None:
    """Make one small table and fill it."""
    con.execute(f"CREATE TABLE {name(table)} ({', '.join(f'{name(one.name)} {one.type}' for one in columns)})")
    if rows:
        schema = pa.schema([(one.name, _ARROW[one.type]) for one in columns])
        con.register("fresh", pa.Table.from_pylist([dict(row) for row in rows], schema=schema))
        con.execute(f"INSERT INTO {name(table)} SELECT * FROM fresh")
        con.unregister("fresh")


_ARROW = {
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "JSON": pa.string(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}
