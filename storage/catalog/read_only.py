"""Read-only DuckDB sessions on the catalog, and SQL restricted to statements that read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from curate.schemas.errors import UsageError, WarehouseError, first_line
from curate.storage.catalog.location import FILE, follows_root, set_root
from curate.storage.catalog.read_files import check_files, watch
from curate.storage.catalog.spill import spill_folder
from curate.storage.catalog.sql_text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


_REBUILD = "run `curate catalog rebuild`"
_DAMAGED = re.compile(
    r"Invalid Input Error: .*\.parquet['\"]|Parquet file|Failed to read file|Table \"rows\"", re.IGNORECASE
)
"""What DuckDB says of damaged Parquet files; ``rows`` is the name of the files in every view of the catalog."""


def open_catalog(root: Path, verify: bool = True, allow_files: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a session on the current catalog; it keeps seeing that state until it is closed.

    The file is attached to an in-memory database: a second `duckdb.connect` of the same path in one process would share
    the first one's file, even if that has been replaced since. DuckDB downloads no extensions.

    Parameters
    ----------
    root : Path
        The warehouse.
    verify : bool
        Check the checksums of the parts that queries read.
    allow_files : bool
        Let queries read files outside the warehouse.

    Raises
    ------
    WarehouseError
        If there is no catalog, or it cannot be opened.
    """
    path = Path(root).absolute() / FILE
    if not path.is_file():
        raise WarehouseError(f"there is no catalog in {root} yet; run `curate select` or `curate catalog rebuild`")
    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,  # a misspelt table must not resolve to a Python variable
            "temp_directory": spill_folder(),
        }
    )
    try:
        con.execute(f"ATTACH {quoted(str(path))} AS catalog (READ_ONLY)")
        con.execute("USE catalog")
        set_root(con, path.parent)
        follows = follows_root(con, path.parent)
    except duckdb.Error as error:
        con.close()
        raise WarehouseError(f"cannot open {path}: {first_line(error)}; {_REBUILD}") from error
    if not follows:
        con.close()
        raise WarehouseError(
            f"{path} was published elsewhere by an older version and reads the files there; {_REBUILD}"
        )
    if verify:
        watch(con)
    if not allow_files:
        _refuse_files(con, path.parent)
    return con


def _refuse_files(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Let a session read the files of the warehouse only."""
    con.execute(f"SET allowed_directories = [{quoted(f'{root}/')}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def run_sql(con: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, object] | None = None) -> pa.Table:
    """Return the result of one SQL query.

    Parameters
    ----------
    con : DuckDBPyConnection
        From `open_catalog`.
    sql : str
        One statement that reads: SELECT, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE, PIVOT, EXPLAIN.
    values : mapping, optional
        Values of its ``$name`` parameters.

    Returns
    -------
    pa.Table
        Of columns with the same name, the second has ``_1`` at its end, the third ``_2``.

    Raises
    ------
    UsageError
        If it is not one statement, could write, or DuckDB rejects it.
    WarehouseError
        If a file behind a view is missing or damaged, or changed after it was written.
    """
    try:
        statements = con.extract_statements(sql)
        if len(statements) != 1:
            raise UsageError(f"the SQL holds {len(statements)} statements; give one")
        _refuse_writing(statements[0])
        result = con.execute(statements[0], dict(values or {})).to_arrow_table()
    except UnicodeDecodeError as error:  # DuckDB's message quotes what it has read
        raise WarehouseError("a file behind the catalog is damaged; run `curate doctor --repair`") from error
    except duckdb.Error as error:
        if isinstance(error, duckdb.PermissionException):
            raise UsageError(f"{first_line(error)}; pass --allow-files to read files outside the warehouse") from error
        # The Parquet reader of DuckDB raises the bare base class for some damaged files.
        if type(error) is duckdb.Error or isinstance(error, duckdb.IOException) or _DAMAGED.search(str(error)):
            raise unreadable(error) from error
        raise UsageError(f"DuckDB rejects the SQL: {str(error).strip()}") from error
    check_files(con)
    return result.rename_columns(_distinct(result.column_names))


def unreadable(error: duckdb.Error) -> WarehouseError:
    """Return the error of a file that DuckDB could not read."""
    reason = f"a file behind the catalog cannot be read ({first_line(error)})"
    return WarehouseError(f"{reason}; {_REBUILD} if the warehouse was moved, else `curate doctor --repair`")


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of which none occurs twice: a second ``a`` becomes ``a_1``, as in the tables that DuckDB creates."""
    distinct: list[str] = []
    for name in names:
        number, unique = 0, name
        while unique in distinct or (number and unique in names):
            number += 1
            unique = f"{name}_{number}"
        distinct.append(unique)
    return distinct


def _refuse_writing(statement: duckdb.Statement) -> None:
    kind = statement.type
    # EXPLAIN ANALYZE executes the statement that it explains, which could be a COPY.
    executes = kind == duckdb.StatementType.EXPLAIN and re.search(r"\banaly[sz]e\b", statement.query, re.IGNORECASE)
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN) or executes:
        statement_kind = "EXPLAIN ANALYZE" if executes else kind.name
        raise UsageError(f"the catalog is read-only and this is a {statement_kind} statement; use SELECT")
