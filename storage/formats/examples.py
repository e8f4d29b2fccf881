"""Converts raw rows to conversations, and counts the fields that no conversation has a place for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.corpus import Example, Quarantined
from curate.storage.formats.rows import RawRow, RowProblem, is_missing, printable, quarantined
from curate.storage.formats.shapes.columns import GROUP, LICENCE, ColumnNames
from curate.storage.formats.shapes.texts import Values, label, stripped
from curate.storage.formats.shapes.turn_fields import flag_of
from curate.storage.formats.shapes.turn_lists import TurnReader

if TYPE_CHECKING:
    from collections import Counter

    from curate.storage.formats.shapes.fit import Fit

_ROW_SUPERVISION = ("weight", "train", "loss")
"""Columns that may say that a whole row is not trained on."""


class ExampleReader:
    """Converts rows of a source.

    Parameters
    ----------
    names : ColumnNames
    licence : str or None
        Licence of the source.
    ignored : Counter of str
        Gets the number of usable rows in which each field was filled and not read: columns, and fields of turns as
        ``messages[].name``.
    """

    def __init__(self, names: ColumnNames, licence: str | None, ignored: Counter[str]) -> None:
        self._names = names
        self._licence = licence
        self._ignored = ignored
        self._turns = TurnReader(names.roles)
        self._unread: dict[tuple[str, ...], tuple[str, ...]] = {}

    def example(self, row: RawRow, fit: Fit) -> Example | Quarantined:
        """Return the conversation of a row, or the reason why it cannot be used."""
        values = self._names.rename(row.values)
        self._turns.ignored.clear()
        try:
            _check_supervised(values)
            fit.check(values)
            turns, tools = fit.read(values, self._turns)
            licence, group = self._licence_of(values), self._group_of(values)
            example = Example(turns, row.source, row.number, tools, licence, group)
        except RowProblem as problem:
            column = problem.column and self._names.original(problem.column, tuple(row.values))
            missing = "" if column is None or column in row.values else f": the row has no column {column!r}"
            return quarantined(row.source, row.number, column, problem.reason + missing, row.values)
        except RecursionError:
            return quarantined(row.source, row.number, None, "nested too deeply", "")
        if unread := (*self._unread_columns(row.values, values, fit), *self._turns.ignored):
            self._ignored.update(unread)
        return example

    def _unread_columns(self, raw: Values, values: Values, fit: Fit) -> tuple[str, ...]:
        """Return the file's names of the filled columns that `fit` does not read."""
        filled = tuple(name for name, value in raw.items() if not is_missing(value))
        if filled not in self._unread:
            used = fit.shape.columns_used(values).union(LICENCE, _ROW_SUPERVISION)
            used |= {GROUP[0]} if self._names.maps(GROUP[0]) else frozenset()
            read = {self._names.original(name, tuple(raw)) for name in used if name in values}
            self._unread[filled] = tuple(printable(name, 60) for name in filled if name not in read)
        return self._unread[filled]

    def _group_of(self, values: Values) -> str | None:
        """Return the label in the column that ``--map group=COLUMN`` names; a column that no one named is not read."""
        return label(values.get(GROUP[0]), GROUP[0]) or None if self._names.maps(GROUP[0]) else None

    def _licence_of(self, values: Values) -> str | None:
        """Return the row's own licence, or else the source's."""
        for column in (name for name in LICENCE if name in values):
            given = values[column]
            listed = given if isinstance(given, list) else [given]
            if own := ", ".join(name for item in listed if (name := stripped(item, column))):
                return own
        return self._licence


def _check_supervised(values: Values) -> None:
    """Raise RowProblem if a column says that the row is not trained on: ``weight: 0``, ``train: false``."""
    for name in (name for name in _ROW_SUPERVISION if name in values):
        value = values[name]
        if isinstance(value, (bool, int, float)) and not value and flag_of(name, value) is False:
            raise RowProblem(name, f"{name} is {value}: the row is not to be trained on")
