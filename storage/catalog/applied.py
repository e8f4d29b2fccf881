"""Writes the changes of a warehouse to its catalog: rows of the stored tables, and the text of views over files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.artefacts import digest
from curate.storage.catalog import table_rows, tiers
from curate.storage.catalog.corpus_views import EXAMPLES_VIEW
from curate.storage.catalog.sql_text import quoted, quoted_list, quoted_name
from curate.storage.catalog.view_text import Listed, select_sql
from curate.storage.catalog.views import VIEWS, View
from curate.storage.warehouse import part_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import duckdb

    from curate.schemas.artefacts import Manifest
    from curate.storage.catalog.changes import Changes
    from curate.storage.catalog.stored_tables import StoredTable
    from curate.storage.warehouse.warehouse import Warehouse


def apply(con: duckdb.DuckDBPyConnection, warehouse: Warehouse, changes: Changes) -> list[str]:
    """Write changes to the catalog that is the current database of the session.

    Returns
    -------
    list of str
        A sentence for each artefact and run record that had to be left out.
    """
    settled = bool(changes.stale) and _remove(con, changes.stale)
    rows, without_summary = table_rows.stored_rows(warehouse, changes)
    rows["files"], damaged, left_out = _files(warehouse, changes)
    rows["artefacts"] = [
        # Without a mark the next publication reads a damaged artefact again, and warns again.
        {"noun": noun, "artefact_id": one.id, "mark": None if one.id in damaged else changes.marks.get(one.id)}
        for noun, manifests in changes.manifests.items()
        for one in manifests
    ]
    for table in tiers.TABLES:
        _insert(con, table, rows[table.name])
    views = [view for view in VIEWS if view.noun in changes.nouns]
    if _crowded(con):
        tiers.settle(con)
        settled, views = True, list(VIEWS)
    for tier in tiers.TIERS if settled else (tiers.RECENT,):
        for view in views:
            listed, sources = listed_files(con, view, f"{tier}.files")
            text = select_sql(view, listed, sources, warehouse.root)
            con.execute(f"CREATE OR REPLACE VIEW {tier}.{quoted_name(view.name)} AS {text}")
    return [*changes.problems, *without_summary, *left_out]


def listed_files(
    con: duckdb.DuckDBPyConnection, view: View, table: str, ids: Iterable[str] | None = None
) -> tuple[list[Listed], dict[str, list[str]]]:
    """Return the files that a view reads, and for ``examples`` the files with their sources, from a table of files.

    Parameters
    ----------
    table : str
        SQL text of the table, or of a subquery.
    ids : iterable of str, optional
        Only these artefacts.
    """
    only = "" if ids is None else f" AND artefact_id IN {quoted_list(ids)}"

    def rows(name: str) -> list[Any]:
        # No bound parameters: with any, DuckDB imports pandas, which takes longer than the whole publication.
        where = f"WHERE view_name = {quoted(name)}{only} ORDER BY sequence, artefact_id"
        return con.execute(f"SELECT artefact_id, layout, columns, files FROM {table} {where}").fetchall()

    listed = [Listed(one, layout, tuple(columns), tuple(files)) for one, layout, columns, files in rows(view.name)]
    return listed, {one: files for one, _, _, files in rows("sources")} if view is EXAMPLES_VIEW else {}


def _remove(con: duckdb.DuckDBPyConnection, stale: Sequence[str]) -> bool:
    """Remove the rows of artefacts and runs, and return True if settled ones were among them."""
    deleted = dict.fromkeys(tiers.TIERS, 0)
    for tier in tiers.TIERS:
        for table, key in tiers.KEYS.items():
            sql = f"DELETE FROM {tier}.{quoted_name(table)} WHERE {quoted_name(key)} IN {quoted_list(stale)}"
            deleted[tier] += con.execute(sql).fetchall()[0][0]
    return deleted[tiers.SETTLED] > 0


def _crowded(con: duckdb.DuckDBPyConnection) -> bool:
    sql = "SELECT (SELECT count(*) FROM recent.artefacts) + (SELECT count(*) FROM recent.runs)"
    return bool(con.execute(sql).fetchall()[0][0] >= tiers.MOST_RECENT)


def _files(warehouse: Warehouse, changes: Changes) -> tuple[list[dict[str, Any]], set[str], list[str]]:
    """Return the rows of the table of files, the ids of artefacts that a view has to leave out, and why."""
    rows, damaged, reasons = [], set(), []
    for view in VIEWS:
        for manifest in changes.manifests[view.noun]:
            try:
                rows += _read_files(view, manifest, warehouse.folder(manifest.noun, manifest.id))
            except (OSError, pa.ArrowInvalid) as error:
                reasons.append(f"{manifest.noun} {manifest.id} is left out of {view.name}: {error}")
                damaged.add(manifest.id)
    return rows, damaged, reasons


def _read_files(view: View, manifest: Manifest, folder: Path) -> list[dict[str, Any]]:
    """Return the row of one artefact and view, an empty list if the artefact has no such table."""
    names = [part.file for part in manifest.parts if part.table == view.source]
    if not names:
        return []
    beside = [part.file for part in manifest.parts if part.table == "sources"] if view is EXAMPLES_VIEW else []
    # One missing file would make DuckDB reject the whole view, the rows of all other artefacts included.
    for name in (*names, *beside):
        (folder / name).stat()
    schema = part_file.schema(folder / names[0])
    return [
        {
            "view_name": view.name,
            "artefact_id": manifest.id,
            "sequence": manifest.sequence,
            "layout": digest(str(schema.remove_metadata())),
            "columns": schema.names,
            "files": [f"{manifest.noun}/{manifest.id}/{name}" for name in names],
        }
    ]


def _insert(con: duckdb.DuckDBPyConnection, table: StoredTable, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows into a recent table."""
    if rows:
        schema = pa.schema([(one.name, _ARROW[one.type]) for one in table.columns])
        con.register("fresh", pa.Table.from_pylist([dict(row) for row in rows], schema=schema))
        con.execute(f"INSERT INTO {tiers.RECENT}.{quoted_name(table.name)} SELECT * FROM fresh")
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
