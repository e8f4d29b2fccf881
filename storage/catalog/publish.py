"""Publishes the DuckDB catalog: views over the artefacts' Parquet files, and a few small tables.

DuckDB lets either one process write a file or many processes read it. So the catalog is built under a temporary name
and renamed over the old one: open sessions keep reading the old file, new sessions open the new one. Of the rows of
artefacts, only the allocations of selections are read.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from curate.schemas.artefacts import NOUNS, Manifest, Noun
from curate.schemas.corpus import MESSAGES
from curate.schemas.errors import WarehouseError, first_line
from curate.storage.catalog import location, table_rows
from curate.storage.catalog.location import FILE
from curate.storage.catalog.sql_text import quoted, quoted_name
from curate.storage.catalog.stored_tables import STORED
from curate.storage.catalog.views import CONTEXT_TURNS, EXAMPLES_VIEW, SOURCES_OF, VIEWS, Column, View, duckdb_type
from curate.storage.warehouse import atomic, lock, part_file, runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from curate.storage.warehouse.warehouse import Warehouse


_log = logging.getLogger(__name__)


def publish(warehouse: Warehouse) -> Path:
    """Rebuild the catalog from the manifests and run records, and replace the old one.

    An artefact whose manifest or first part cannot be read, or that lacks a part, is left out with a logged warning.
    Costs a few small reads per artefact, independent of its number of rows.

    Returns
    -------
    Path
        The catalog file.

    Raises
    ------
    WarehouseError
        If the catalog cannot be written, or another process publishes for longer than the warehouse's lock timeout.
    """
    target = warehouse.root / FILE
    with lock.locked(warehouse.root / ".catalog.lock", warehouse.lock_timeout, f"the catalog {target}"):
        atomic.remove_temporary_files(warehouse.root)
        unfinished = atomic.temporary_path(target)
        manifests = {noun: warehouse.list_readable(noun)[::-1] for noun in NOUNS}
        try:
            _build(unfinished, warehouse, manifests)
        except (duckdb.Error, UnicodeEncodeError) as error:
            atomic.remove_temporary_files(warehouse.root)
            reason, remedy = first_line(error), "see `curate doctor`"
            if "No space left" in str(error):
                reason = f"no space left on device ({atomic.space(warehouse.root, _size(warehouse, manifests))})"
                remedy = "all artefacts are kept; free some space and run `curate catalog rebuild`"
            raise WarehouseError(f"cannot write {target}: {reason}; {remedy}") from error
        with atomic.disk_errors("write", target):
            # DuckDB would replay the write-ahead log of a client that was killed onto the new file.
            target.with_name(f"{FILE}.wal").unlink(missing_ok=True)
            atomic.sync_file(unfinished)
            atomic.rename(unfinished, target)
    return target


def _size(warehouse: Warehouse, manifests: Mapping[Noun, Sequence[Manifest]]) -> int | None:
    """Return the bytes of a new catalog, by building it on the disk for temporary files; None if that is full too."""
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        try:
            _build(Path(folder) / FILE, warehouse, manifests)
            return (Path(folder) / FILE).stat().st_size
        except (duckdb.Error, OSError):
            return None


def _build(path: Path, warehouse: Warehouse, manifests: Mapping[Noun, Sequence[Manifest]]) -> None:
    records, problems = runs.read_runs(warehouse.root)
    for problem in problems:
        _log.warning("%s", problem)
    with duckdb.connect() as con:
        con.execute(f"ATTACH {quoted(str(path))} AS catalog")
        con.execute("USE catalog")
        con.execute("BEGIN")  # one write to disk instead of one per statement
        for view in VIEWS:
            con.execute(view_sql(view, warehouse, manifests[view.noun]))
        rows = table_rows.stored_rows(warehouse, manifests, records)
        for table in STORED:
            _store(con, table.name, table.columns, rows[table.name])
        # One call: a statement each would take three times as long.
        con.execute(";".join(comments()))
        con.execute("COMMIT")
        con.execute("USE memory")
        con.execute("DETACH catalog")


def comments() -> Iterator[str]:
    """Yield the statements that describe every view, table and column in the catalog itself, for any DuckDB client."""
    for kind, described in (("VIEW", VIEWS), ("TABLE", STORED)):
        for one in described:
            name = quoted_name(one.name)
            yield f"COMMENT ON {kind} {name} IS {quoted(one.about)}"
            for column in one.columns:
                yield f"COMMENT ON COLUMN {name}.{quoted_name(column.name)} IS {quoted(column.about)}"


def view_sql(view: View, warehouse: Warehouse, manifests: Sequence[Manifest]) -> str:
    """Return the CREATE VIEW statement of one view.

    The view is a UNION ALL with one branch per artefact, which has the artefact's id as a constant. DuckDB therefore
    prunes branches by a WHERE on the id and opens only that artefact's files. Columns that an artefact of an older
    version lacks are null; without any artefact the view is empty and typed.
    """
    branches = []
    for manifest in manifests:
        try:
            branches.extend(_branch(view, manifest, warehouse.folder(manifest.noun, manifest.id)))
        except (OSError, pa.ArrowInvalid) as error:
            _log.warning("%s %s is left out of %s: %s", manifest.noun, manifest.id, view.name, error)
    if not branches:
        nothing = ", ".join(f"NULL::{one.type} AS {quoted_name(one.name)}" for one in view.columns)
        branches = [f"SELECT {nothing} WHERE false"]
    union = "\nUNION ALL\n".join(branches)
    return (
        f"CREATE VIEW {quoted_name(view.name)} AS\nSELECT * FROM (\n{union}\n) WHERE {location.guard(warehouse.root)}"
    )


def _branch(view: View, manifest: Manifest, folder: Path) -> list[str]:
    """Return the SELECT over one artefact's parts, an empty list if it has none."""
    files = _files(manifest, view.source, folder)
    listed = _files(manifest, "sources", folder) if view is EXAMPLES_VIEW else []
    if not files:
        return []
    # One missing file would make DuckDB reject the whole view, the rows of all other artefacts included.
    for path in (*files, *listed):
        path.stat()
    present = set(part_file.column_names(files[0]))
    first, *rest = view.columns
    columns = [f"{quoted(manifest.id)}::VARCHAR AS {quoted_name(first.name)}"]
    columns += [_column(one, present) for one in rest if one is not SOURCES_OF]
    source = f"{_scan(files, folder.parents[1])} AS rows"
    if view is EXAMPLES_VIEW:
        columns.append(f"listed.sources::{SOURCES_OF.type} AS {quoted_name(SOURCES_OF.name)}")
        source += f"\nLEFT JOIN ({_listed(listed, folder.parents[1])}) AS listed USING (example_id)"
    return [f"SELECT {', '.join(columns)}\nFROM {source}"]


def _files(manifest: Manifest, table: str, folder: Path) -> list[Path]:
    return [folder / part.file for part in manifest.parts if part.table == table]


def _column(column: Column, present: set[str]) -> str:
    if column is CONTEXT_TURNS:
        return f"{_CONTEXT_TURNS} AS {quoted_name(column.name)}"
    value = f"rows.{quoted_name(column.name)}" if column.name in present else "NULL"
    return f"{value}::{column.type} AS {quoted_name(column.name)}"


# The cast gives the turns of older versions, which lack the field, null: supervised.
_CONTEXT_TURNS = (
    f"list_filter(range(len(rows.messages)), lambda i: (rows.messages::{duckdb_type(MESSAGES)})[i + 1].supervised "
    f"IS NOT DISTINCT FROM false)::{CONTEXT_TURNS.type}"
)


def _scan(files: Sequence[Path], root: Path) -> str:
    # Otherwise a folder named licence=x above the warehouse would become a column (Hive partitioning).
    return f"read_parquet({location.files_sql(files, root)}, hive_partitioning = false)"


def _listed(files: Sequence[Path], root: Path) -> str:
    """Return the SELECT of the sources of each example; typed and empty for a corpus without sources."""
    if not files:
        return "SELECT NULL::VARCHAR AS example_id, NULL AS sources WHERE false"
    packed = 'list_sort(list(struct_pack("source" := "source", "row" := "row", "licence" := licence)))'
    return f"SELECT example_id, {packed} AS sources FROM {_scan(files, root)} GROUP BY example_id"


def _store(
    con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[Column], rows: Sequence[Mapping[str, object]]
) -> None:
    """Create one stored table and insert its rows."""
    definitions = ", ".join(f"{quoted_name(one.name)} {one.type}" for one in columns)
    con.execute(f"CREATE TABLE {quoted_name(table)} ({definitions})")
    if rows:
        schema = pa.schema([(one.name, _ARROW[one.type]) for one in columns])
        con.register("fresh", pa.Table.from_pylist([dict(row) for row in rows], schema=schema))
        con.execute(f"INSERT INTO {quoted_name(table)} SELECT * FROM fresh")
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
