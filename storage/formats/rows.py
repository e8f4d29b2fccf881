"""Raw rows and row errors: the interface between containers (file formats) and shapes (row formats).

A container (JSON lines, Parquet, …) yields rows with the columns of the file; a shape (alpaca, messages, …) turns a row
into a conversation. Neither depends on the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from curate.schemas.corpus import Quarantined
from curate.schemas.errors import InputError

MAX_ROW_BYTES = 64 * 2**20
"""Longest row that is read, in bytes. Without a limit, one missing quote would read a whole file into memory."""

SAMPLE_CHARACTERS = 200
_NAMED_IN_ERRORS = 40


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row of a file, not interpreted."""

    source: str
    """Name of the file or dataset."""
    number: int
    """Row number in that source, from 1; the line number for JSON lines."""
    values: dict[str, object]
    """Column to value: text, None, or nested lists and dictionaries."""


RawRows = Iterator[RawRow | Quarantined]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Placeholder for a cell that cannot be text, such as an embedding, and was therefore not converted."""

    what: str
    """Type of the cell, or its error: ``"a list<item: float>"``."""


class RowProblem(Exception):
    """A row cannot be used; it becomes one row of quarantine.

    Parameters
    ----------
    column : str or None
        The column with the error, None if the whole row is unusable (invalid JSON).
    reason : str
        One clause for the user.
    """

    def __init__(self, column: str | None, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


class DamagedFile(InputError):
    """A file is truncated or cannot be decoded further. The corpus is refused, since the rest of its rows is lost.

    Parameters
    ----------
    what : str
        The damage, a clause without subject: ``"is a truncated gzip file"``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def printable(text: str, limit: int = SAMPLE_CHARACTERS) -> str:
    """Return at most `limit` characters of `text`; characters that a terminal or Arrow cannot handle are escaped."""
    head = text[:limit]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in head)
    return head[:limit]


def quarantined(source: str, row: int, column: str | None, reason: str, content: object) -> Quarantined:
    """Return the quarantine row of `content`, the row's text or its decoded values."""
    if not isinstance(content, str):
        # default=repr: dates, bytes and `Unreadable` cells have no JSON form; a sample is only for people to read.
        try:
            content = json.dumps(content, ensure_ascii=False, default=repr)
        except RecursionError:
            content = ""
    return Quarantined(
        source, row, None if column is None else printable(column), printable(reason), printable(content)
    )


def is_missing(value: object) -> bool:
    """Return True for None, and for NaN, which pandas writes to JSON for a missing text."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def join_columns(columns: list[str]) -> str:
    """Return column names separated by commas, at most a few dozen."""
    named = ", ".join(printable(column, 60) for column in columns[:_NAMED_IN_ERRORS])
    return named + (f" and {len(columns) - _NAMED_IN_ERRORS} more" if len(columns) > _NAMED_IN_ERRORS else "")
