"""Public functions to query the catalog: named queries from ``sql/*.sql``, free SQL, and `explain`.

A named query is a file whose first comment describes the result; further comments declare parameters
(``-- $name = default: meaning``). Values are bound, never pasted into the SQL text.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError, did_you_mean
from curate.storage.catalog.explain import explain
from curate.storage.catalog.narrowed import narrowed
from curate.storage.catalog.read_only import open_catalog, run_sql
from curate.storage.catalog.selection_ids import resolve_selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pyarrow as pa

__all__ = [
    "NamedQuery",
    "Parameter",
    "explain",
    "find_query",
    "named_queries",
    "open_catalog",
    "resolve_selection",
    "run_named_query",
    "run_sql",
]

_FOLDER = Path(__file__).parents[1] / "sql"
_PARAMETER = re.compile(r"-- \$(?P<name>[a-z_]+) = (?P<default>\S+): (?P<about>.+)")
_SELECTIONS = ("selection", "other")
"""Parameters whose value is a selection: its id, a prefix of it, ``latest`` or ``previous``."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a named query."""

    name: str
    default: str
    about: str


@dataclass(frozen=True)
class NamedQuery:
    """One SQL file with its description and parameters."""

    name: str
    about: str
    """Description of the result, one line."""
    parameters: tuple[Parameter, ...]
    sql: str


def named_queries() -> dict[str, str]:
    """Return the name and description of every named query."""
    return {name: query.about for name, query in _load_queries().items()}


def find_query(name: str) -> NamedQuery:
    """Return the named query of that name.

    Raises
    ------
    UsageError
        If there is none.
    """
    known = _load_queries()
    if name not in known:
        raise UsageError(f"there is no named query {name!r}{did_you_mean(name, tuple(known))}")
    return known[name]


def run_named_query(con: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, str] | None = None) -> pa.Table:
    """Return the result of a named query.

    Parameters
    ----------
    con : DuckDBPyConnection
        From `open_catalog`.
    name : str
        One of `named_queries`.
    values : mapping of str to str, optional
        Values of its parameters, as typed on the command line; others have the defaults of the query.

    Raises
    ------
    UsageError
        If the query or a parameter is unknown, or a value has the wrong type.
    WarehouseError
        If a file behind the catalog is missing or damaged.
    """
    query = find_query(name)
    known = {one.name: one.default for one in query.parameters}
    for given in values or {}:
        if given not in known:
            hint = did_you_mean(given, tuple(known)) if known else "; it has none"
            raise UsageError(f"query {name!r} has no parameter {given!r}{hint}")
    texts = {**known, **(values or {})}
    bound = {key: _value(con, key, known[key], text) for key, text in texts.items()}
    selections = [str(value) for key, value in bound.items() if key in _SELECTIONS]
    with narrowed(con, selections) if selections else nullcontext():
        return run_sql(con, query.sql, bound)


def _value(con: duckdb.DuckDBPyConnection, name: str, default: str, text: str) -> str | int:
    if name in _SELECTIONS:
        return resolve_selection(con, text)
    if not default.isdecimal():
        return text
    if not text.isdecimal():
        raise UsageError(f"parameter {name} is {text!r}, which is not a whole number; give one such as {default}")
    return int(text)


@cache
def _load_queries() -> dict[str, NamedQuery]:
    return {path.stem: _parse(path.stem, path.read_text("utf-8")) for path in sorted(_FOLDER.glob("*.sql"))}


def _parse(name: str, text: str) -> NamedQuery:
    lines = text.splitlines()
    matches = [match for line in lines if (match := _PARAMETER.fullmatch(line))]
    parameters = tuple(Parameter(one["name"], one["default"], one["about"]) for one in matches)
    body = "\n".join(line for line in lines if not line.startswith("--"))
    return NamedQuery(name, lines[0].removeprefix("-- "), parameters, body)
