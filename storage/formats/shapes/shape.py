"""The description of a row shape: the columns that a row must have, those that are read besides, and its parser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from curate.storage.formats.rows import is_missing
from curate.storage.formats.shapes.columns import KNOWN_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from curate.storage.formats.shapes.texts import Conversation, Values
    from curate.storage.formats.shapes.turn_lists import TurnReader

Groups = tuple[tuple[str, ...], ...]
"""Names of columns by part of the conversation, the usual name of each part first."""


@dataclass(frozen=True)
class Shape:
    """One row shape."""

    name: str
    needs: Groups
    """Groups of column names; a row has this shape if it has at least one of each group."""
    optional: Groups
    """Groups of which the parser reads one column each, if the row has it."""
    read: Callable[[Values, TurnReader], Conversation]
    whole: bool = False
    """True if the needed column holds a whole conversation; columns of questions and answers beside it repeat it."""

    reader_for: Callable[[Sequence[Values]], Callable[[Values, TurnReader], Conversation]] | None = None
    """Returns ``read`` for a file with these first rows, for a shape whose cells have a meaning only together."""

    def for_file(self, rows: Sequence[Values]) -> Shape:
        """Return this shape for a file with these first rows."""
        return self if self.reader_for is None else replace(self, read=self.reader_for(rows))

    def fits(self, columns: Collection[str]) -> bool:
        """Return True if `columns` has one of each needed group."""
        return all(any(name in columns for name in group) for group in self.needs)

    def columns_read(self, columns: Collection[str]) -> frozenset[str]:
        """Return the columns that explain a row with `columns`, empty if it does not have this shape."""
        if not self.fits(columns):
            return frozenset()
        return KNOWN_COLUMNS.intersection(columns) if self.whole else self.columns_used(columns)

    def columns_used(self, columns: Collection[str]) -> frozenset[str]:
        """Return the columns that the parser reads, one of each group."""
        taken: list[str] = []
        for group in self.needs + self.optional:
            # A column is read for one part only: `input` is not the context of the prompt that it is itself.
            free = (name for name in group if name in columns and name not in taken)
            taken += [name] if (name := next(free, None)) else []
        return frozenset(taken)

    @property
    def words(self) -> str:
        """Description for error messages: ``alpaca (instruction, output)``."""
        return f"{self.name} ({', '.join(group[0] for group in self.needs)})"


def filled(values: Values) -> frozenset[str]:
    """Return the columns of a row that are not null."""
    return frozenset(name for name, value in values.items() if not is_missing(value))
