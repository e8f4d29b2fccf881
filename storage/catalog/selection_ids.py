"""Lookup of selections in the catalog: by a prefix of the id, the latest, the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError, WarehouseError
from curate.storage.catalog.location import root_of
from curate.storage.catalog.read_only import run_sql
from curate.storage.warehouse.listing import list_artefacts
from curate.storage.warehouse.warehouse import LATEST, PREVIOUS

if TYPE_CHECKING:
    import duckdb

_NAMED = 5
"""Selections that a message names."""


def resolve_selection(con: duckdb.DuckDBPyConnection, given: str) -> str:
    """Return the full id of a selection from a prefix, ``"latest"``, or ``"previous"`` (the second latest).

    Raises
    ------
    UsageError
        If none or several match; the message lists them.
    WarehouseError
        If the manifest of a selection cannot be read, so that the latest is unknown.
    """
    if given in (LATEST, PREVIOUS):
        _refuse_unreadable(con, given)
    newest = newest_selections(con, _NAMED)
    if not newest:
        raise UsageError("the catalog holds no selection yet; run `curate select` first")
    if given == PREVIOUS and len(newest) == 1:
        raise UsageError(f"there is only one selection, {newest[0]}; run `curate select` with other settings first")
    if given in (LATEST, PREVIOUS):
        return newest[given == PREVIOUS]
    matches = newest_selections(con, _NAMED, given) if given else []
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(matches or newest)
    if matches:
        raise UsageError(f"selection {given!r} could be any of {names}; give more digits")
    raise UsageError(f"no selection begins with {given!r}; the newest are {names}")


def newest_selections(con: duckdb.DuckDBPyConnection, limit: int, prefix: str = "") -> list[str]:
    """Return the ids of the newest selections whose id begins with `prefix`, newest first."""
    # A catalog of version 0.1.0 has no column sequence; by name it becomes null.
    sql = """
        SELECT selection_id
        FROM (SELECT * FROM selections UNION ALL BY NAME SELECT NULL::BIGINT AS sequence WHERE false)
        WHERE starts_with(selection_id, $prefix)
        ORDER BY coalesce(sequence, 0) DESC, created DESC, selection_id DESC
        LIMIT $limit
    """
    ids: list[str] = run_sql(con, sql, {"prefix": prefix, "limit": limit})[0].to_pylist()
    return ids


def _refuse_unreadable(con: duckdb.DuckDBPyConnection, given: str) -> None:
    """Raise a WarehouseError if the catalog may lack a selection, because its manifest cannot be read."""
    held = {name for (name,) in con.execute("SELECT selection_id FROM selections").fetchall()}
    for problem in list_artefacts(root_of(con), "selection", trusted=held).problems:
        raise WarehouseError(problem.blocks(f"cannot tell which selection is the {given}"))
