"""Where a catalog's files are: views that follow a copied or moved warehouse, or refuse to read another one.

A view cannot name files relative to its own database. So it names them relative to the session variable
``curate_root``, which `curate.storage.catalog.read_only.open_catalog` sets to the folder that it opens. A session of
another client leaves it unset; the view then falls back to the folder in which the catalog was published, and a guard
refuses if the database was opened from elsewhere: a copy would otherwise read the files of the original.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.storage.catalog.sql_text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

FILE = "catalog.duckdb"
VARIABLE = "curate_root"


def files_sql(files: Sequence[Path], root: Path) -> str:
    """Return the SQL list of the paths of `files`, which follow the warehouse `root` when the variable is set."""
    base = f"coalesce(getvariable({quoted(VARIABLE)}), {quoted(str(root.absolute()))})"
    return f"[{', '.join(f'{base} || {quoted(_inside(path, root))}' for path in files)}]"


def _inside(path: Path, root: Path) -> str:
    return "/" + path.relative_to(root).as_posix()


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
    sql = "SELECT sql FROM duckdb_views() WHERE database_name = 'catalog' AND contains(sql, 'read_parquet') LIMIT 1"
    views = con.execute(sql).fetchall()
    return not views or VARIABLE in views[0][0] or str(root) in views[0][0]
