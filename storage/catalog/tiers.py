"""The layout of ``catalog.duckdb``: what the artefacts of many publications wrote stays untouched by the next one.

DuckDB compresses a table again when a row is added to it, and parses a view again when a file is added. So tables and
views over files exist twice, in the schemas ``settled`` and ``recent``; the public names are views over both. A
publication writes to ``recent`` only, until that holds `MOST_RECENT` artefacts and runs, which then settle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.artefacts import digest
from curate.storage.catalog import location
from curate.storage.catalog.columns import Column
from curate.storage.catalog.sql_text import quoted, quoted_name
from curate.storage.catalog.stored_tables import STORED, StoredTable
from curate.storage.catalog.view_text import select_sql
from curate.storage.catalog.views import VIEWS, View

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

SETTLED, RECENT = TIERS = ("settled", "recent")
MOST_RECENT = 64
FORMAT = 1
"""Raised when the text of the views over files changes; catalogs of another format are built anew."""

ARTEFACTS = StoredTable(
    "artefacts",
    "Every artefact of the catalog.",
    (
        Column("noun", "VARCHAR", "kind of the artefact"),
        Column("artefact_id", "VARCHAR", "id of the artefact"),
        Column("mark", "VARCHAR", "state of its folder and manifest when they were read; null: read them again"),
    ),
)
FILES = StoredTable(
    "files",
    "The files that each view reads, one row per artefact and view.",
    (
        Column("view_name", "VARCHAR", "name of the view"),
        Column("artefact_id", "VARCHAR", "id of the artefact"),
        Column("sequence", "BIGINT", "place of the artefact in the order in which artefacts were finished"),
        Column("layout", "VARCHAR", "digest of the names and types of the columns"),
        Column("columns", "VARCHAR[]", "names of the columns"),
        Column("files", "VARCHAR[]", "paths inside the warehouse"),
    ),
)
TABLES = (*STORED, ARTEFACTS, FILES)
KEYS = {table.name: next(one.name for one in table.columns if one.name.endswith("_id")) for table in STORED} | {
    "lineage": "artefact_id", "artefacts": "artefact_id", "files": "artefact_id"
}  # fmt: skip
"""Column of each table with the id of the artefact or run that a row belongs to."""


def create(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Create the empty catalog of a warehouse in the current database."""
    statements = list(_statements(root))
    # One call: a statement each would take three times as long.
    con.execute(";".join(statements))
    con.execute("CREATE TABLE settled.definition (digest VARCHAR)")
    con.execute(f"INSERT INTO settled.definition VALUES ({quoted(_digest(statements))})")


def continues(con: duckdb.DuckDBPyConnection, root: Path) -> bool:
    """Return True if the current database is a catalog that this version published for this folder."""
    if not location.has_tiers(con):
        return False
    return con.execute("SELECT digest FROM settled.definition").fetchall() == [(_digest(list(_statements(root))),)]


def settle(con: duckdb.DuckDBPyConnection) -> None:
    """Move every row of the recent tables to the settled ones; the views over files must be written again."""
    for table in TABLES:
        name = quoted_name(table.name)
        con.execute(f"INSERT INTO settled.{name} SELECT * FROM recent.{name}; DELETE FROM recent.{name}")


def _digest(statements: list[str]) -> str:
    return digest([FORMAT, statements], 64)


def _statements(root: Path) -> Iterator[str]:
    for tier in TIERS:
        yield f"CREATE SCHEMA {tier}"
        for table in TABLES:
            definitions = ", ".join(f"{quoted_name(one.name)} {one.type}" for one in table.columns)
            yield f"CREATE TABLE {tier}.{quoted_name(table.name)} ({definitions})"
        for view in VIEWS:
            yield f"CREATE VIEW {tier}.{quoted_name(view.name)} AS {select_sql(view, (), {}, root)}"
    for table in STORED:
        yield f"CREATE VIEW main.{quoted_name(table.name)} AS {both(table.name)}"
    for view in VIEWS:
        guarded = f"SELECT * FROM ({both(view.name)}) WHERE {location.guard(root)}"
        yield f"CREATE VIEW main.{quoted_name(view.name)} AS {guarded}"
    yield from _comments()


def both(name: str) -> str:
    """Return the SELECT of a table or view over both tiers."""
    return " UNION ALL ".join(f"SELECT * FROM {tier}.{quoted_name(name)}" for tier in TIERS)


def _comments() -> Iterator[str]:
    """Yield the statements that describe every view and column in the catalog itself, for any DuckDB client."""
    every: tuple[View | StoredTable, ...] = (*VIEWS, *STORED)
    for described in every:
        name = f"main.{quoted_name(described.name)}"
        yield f"COMMENT ON VIEW {name} IS {quoted(described.about)}"
        for column in described.columns:
            yield f"COMMENT ON COLUMN {name}.{quoted_name(column.name)} IS {quoted(column.about)}"
