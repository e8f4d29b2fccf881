"""The currency between the containers and the shapes: a raw row, or why there is none.

A container (JSON lines, Parquet, …) yields rows as they stand in the file; a shape (alpaca, messages, …) turns one
into a conversation. Neither knows of the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from curate.schemas.corpus import Quarantined
from curate.schemas.errors import InputError

MAX_ROW_BYTES = 64 * 2**20
"""Longest row that is read, in bytes. Without a limit, one missing quote would pull a whole file into memory."""

SAMPLE_CHARACTERS = 200
_NAMED_IN_ERRORS = 40


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in its file."""

    source: str
    """Name of the file or dataset."""
    number: int
    """Row (line for JSON lines) in that source, counted from 1."""
    values: dict[str, object]
    """Column to value: text, None, or nested lists and dictionaries."""


RawRows = Iterator[RawRow | Quarantined]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a cell that cannot be text, such as an embedding, and was therefore not converted."""

    what: str
    """Type of the cell, or what is wrong with it: ``"a list<item: float>"``."""


class RowProblem(Exception):
    """A row cannot be used; becomes one row of quarantine.

    Parameters
    ----------
    column : str or None
        The column at fault, None if the row has none (broken JSON).
    reason : str
        One clause for a person.
    """

    def __init__(self, column: str | None, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


class DamagedFile(InputError):
    """A file breaks off or cannot be decoded any further: what follows is lost, so it is not used at all.

    Parameters
    ----------
    what : str
        What is wrong, as a clause without subject: ``"is a truncated gzip file"``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def printable(text: str, limit: int = SAMPLE_CHARACTERS) -> str:
    """Return at most `limit` characters of `text`, with everything that a terminal or Arrow may choke on escaped."""
    head = text[:limit]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in head)
    return head[:limit]


def quarantined(source: str, row: int, column: str | None, reason: str, content: object) -> Quarantined:
    """Return the quarantine row of `content`, which is the row's text, or what was decoded of it."""
    if not isinstance(content, str):
        # default=repr: dates, bytes and unread cells have no JSON form, and a sample needs none.
        try:
            content = json.dumps(content, ensure_ascii=False, default=repr)
        except RecursionError:
            content = ""
    return Quarantined(
        source, row, None if column is None else printable(column), printable(reason), printable(content)
    )


def is_missing(value: object) -> bool:
    """Return True for None and for NaN, which is how pandas writes a missing text to JSON."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def join_columns(columns: list[str]) -> str:
    """Return the columns as a person lists them, cut after a few dozen."""
    named = ", ".join(printable(column, 60) for column in columns[:_NAMED_IN_ERRORS])
    return named + (f" and {len(columns) - _NAMED_IN_ERRORS} more" if len(columns) > _NAMED_IN_ERRORS else "")
