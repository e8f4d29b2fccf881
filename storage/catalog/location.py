"""Where a catalog's files are: views that follow a copied or moved warehouse, or refuse to read another one.

A view cannot name files relative to its own database. So it names them relative to the session variable
``curate_root``, which `curate.storage.catalog.read_only.open_catalog` sets to the folder that it opens. A session of
another client leaves it unset; the view then falls back to the folder in which the catalog was published, and a guard
refuses if the database was opened from elsewhere: a copy would otherwise read the files of the original.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.storage.catalog.sql_text import quoted, quoted_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

FILE = "catalog.duckdb"
VARIABLE = "curate_root"
_SEPARATOR = "|"


def files_sql(files: Sequence[str], root: Path) -> str:
    """Return the SQL list of `files`, paths inside the warehouse `root`, which follow the variable when it is set."""
    base = f"coalesce(getvariable({quoted(VARIABLE)}), {quoted(str(root.absolute()))})"
    # One literal that DuckDB splits: it parses thousands of them, at every opening of the catalog, in a hundred times.
    split = f"string_split({quoted(_SEPARATOR.join(files))}, {quoted(_SEPARATOR)})"
    listed = quoted_list(files) if any(_SEPARATOR in file for file in files) else split
    return f"list_transform({listed}, lambda file: {base} || '/' || file)"


def guard(root: Path) -> str:
    """Return a condition that is true where the files of a view are its own, and an error elsewhere.

    DuckDB reports the path of an attached database resolved, whatever the client typed.
    """
    message = (
        f"this catalog was published in {root.absolute()} and is opened from elsewhere; "
        f"run `curate catalog rebuild` there, or SET VARIABLE {VARIABLE} = the folder of the warehouse"
    )
    here = quoted(str(root.resolve() / FILE))
    return (
        f"CASE WHEN getvariable({quoted(VARIABLE)}) IS NOT NULL "
        f"OR (SELECT count(*) > 0 FROM duckdb_databases() WHERE path = {here}) "
        f"THEN true ELSE error({quoted(message)}) END"
    )


def set_root(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Let the views of this session read the files below `root`."""
    con.execute(f"SET VARIABLE {VARIABLE} = {quoted(str(root.absolute()))}")


def root_of(con: duckdb.DuckDBPyConnection) -> Path:
    """Return the folder that `set_root` gave to a session."""
    (root,) = con.execute(f"SELECT getvariable({quoted(VARIABLE)})").fetchall()[0]
    return Path(root)


def follows_root(con: duckdb.DuckDBPyConnection, root: Path) -> bool:
    """Return False if a view names files outside `root` that ignore the variable, as version 0.1.0 wrote them."""
    if has_tiers(con):  # cheaper than the text of every view
        return True
    sql = "SELECT sql FROM duckdb_views() WHERE database_name = 'catalog' AND contains(sql, 'read_parquet') LIMIT 1"
    views = con.execute(sql).fetchall()
    return not views or VARIABLE in views[0][0] or str(root) in views[0][0]


def has_tiers(con: duckdb.DuckDBPyConnection) -> bool:
    """Return False for a catalog of a version that had one schema only (`curate.storage.catalog.tiers`)."""
    sql = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'settled' AND table_name = 'definition'"
    return con.execute(sql).fetchall() != [(0,)]
