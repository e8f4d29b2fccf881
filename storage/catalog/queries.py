"""Asking the catalog: named questions from ``sql/*.sql``, and the door to free SQL and to `explain`.

A named question is a file whose comments say what it answers (first line) and what it needs (``-- $name = default:
meaning``). Values are bound, never pasted. Knows nothing of how the catalog is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError, did_you_mean
from curate.storage.catalog.explain import explain
from curate.storage.catalog.read_only import open_catalog, resolve_selection, run_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pyarrow as pa

__all__ = [
    "Parameter",
    "Question",
    "ask",
    "explain",
    "named",
    "open_catalog",
    "questions",
    "resolve_selection",
    "run_sql",
]

_FOLDER = Path(__file__).parents[1] / "sql"
_PARAMETER = re.compile(r"-- \$(?P<name>[a-z_]+) = (?P<default>\S+): (?P<about>.+)")
_SELECTIONS = ("selection", "other")
"""Parameters that name a selection, by its id, its beginning, ``latest`` or ``previous``."""


@dataclass(frozen=True)
class Parameter:
    """One value that a question needs."""

    name: str
    default: str
    about: str


@dataclass(frozen=True)
class Question:
    """One named question."""

    name: str
    about: str
    """What it answers, in one line."""
    parameters: tuple[Parameter, ...]
    sql: str


def questions() -> dict[str, str]:
    """Return the name of every named question and what it answers."""
    return {name: question.about for name, question in _all().items()}


def named(name: str) -> Question:
    """Return a named question.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    known = _all()
    if name not in known:
        raise UsageError(f"there is no question {name!r}{did_you_mean(name, tuple(known))}")
    return known[name]


def ask(con: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, str] | None = None) -> pa.Table:
    """Return the answer to a named question.

    Parameters
    ----------
    con : DuckDBPyConnection
        From `open_catalog`.
    name : str
        One of `questions`.
    values : mapping of str to str, optional
        Values of its parameters, as typed; what is not given has the question's own default.

    Raises
    ------
    UsageError
        If the question or a parameter is not known, or a value is not what the parameter needs.
    WarehouseError
        If a file behind the catalog is missing or damaged.
    """
    question = named(name)
    known = {one.name: one.default for one in question.parameters}
    for given in values or {}:
        if given not in known:
            hint = did_you_mean(given, tuple(known)) if known else "; it has none"
            raise UsageError(f"question {name!r} has no parameter {given!r}{hint}")
    typed = {**known, **(values or {})}
    return run_sql(con, question.sql, {key: _value(con, key, known[key], text) for key, text in typed.items()})


def _value(con: duckdb.DuckDBPyConnection, name: str, default: str, text: str) -> str | int:
    if name in _SELECTIONS:
        return resolve_selection(con, text)
    if not default.isdecimal():
        return text
    if not text.isdecimal():
        raise UsageError(f"parameter {name} is {text!r}, which is not a whole number; give one such as {default}")
    return int(text)


@cache
def _all() -> dict[str, Question]:
    return {path.stem: _parse(path.stem, path.read_text("utf-8")) for path in sorted(_FOLDER.glob("*.sql"))}


def _parse(name: str, text: str) -> Question:
    lines = text.splitlines()
    found = [match for line in lines if (match := _PARAMETER.fullmatch(line))]
    parameters = tuple(Parameter(one["name"], one["default"], one["about"]) for one in found)
    body = "\n".join(line for line in lines if not line.startswith("--"))
    return Question(name, lines[0].removeprefix("-- "), parameters, body)
