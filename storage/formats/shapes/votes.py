"""Detects the shape of a file from its first rows: the one that explains the most rows, then the most columns.

Each row votes for the shapes that explain it best. A row that lacks a column of the others' shape votes for another
one, and is outvoted: it is quarantined, and never the reason to read the others differently.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.storage.formats.shapes.shape import Shape, filled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.storage.formats.shapes.texts import Values

NEAR = 0.8
"""Two shapes are a near tie if the rows of only the second are at least this share of the rows of only the first."""


@dataclass(frozen=True)
class NearTie:
    """Two shapes that explain a file about equally."""

    shapes: tuple[Shape, Shape]
    rows: tuple[int, int]
    """Rows that each explains and the other does not; of both, if the same rows have the columns of both."""


def elect(rows: Sequence[Values], candidates: Sequence[Shape]) -> Shape | NearTie | None:
    """Return the shape that explains `rows`, None if none fits any row.

    Null cells count only if no shape fits without them: a file concatenated from others has the columns of all of
    them, null where they do not apply.
    """
    shape = _elect(rows, [filled(row) for row in rows], candidates)
    return shape or _elect(rows, [frozenset(row) for row in rows], candidates)


def best_shapes(columns: frozenset[str], candidates: Sequence[Shape]) -> list[Shape]:
    """Return the shapes of a row of which no other shape reads the same columns and more."""
    read = {shape.name: shape.columns_read(columns) for shape in candidates}
    fitting = [shape for shape in candidates if read[shape.name]]
    return [one for one in fitting if not any(read[one.name] < read[other.name] for other in fitting)]


def _elect(
    rows: Sequence[Values], columns: Sequence[frozenset[str]], candidates: Sequence[Shape]
) -> Shape | NearTie | None:
    votes = [best_shapes(row, candidates) for row in columns]
    count = Counter(shape.name for row in votes for shape in row)
    if not count:
        return None
    cells = {shape.name: sum(len(shape.columns_read(row)) for row in columns) for shape in candidates}
    # max takes the first of equals: the order of the candidates decides last.
    winner = max(candidates, key=lambda shape: (count[shape.name], cells[shape.name]))
    for other in candidates:
        # Lists of turns are read alike under both of their names.
        if other is not winner and count[other.name] and not (other.whole and winner.whole):
            if tie := _by_rows(winner, other, votes) or _by_columns(winner, other, rows, columns):
                return tie
    return winner


def _by_rows(winner: Shape, other: Shape, votes: Sequence[list[Shape]]) -> NearTie | None:
    """Return the tie of two shapes that explain different rows, None if the first explains many more."""
    only = [sum(one in row and two not in row for row in votes) for one, two in ((winner, other), (other, winner))]
    return NearTie((winner, other), (only[0], only[1])) if only[1] and only[1] >= NEAR * only[0] else None


def _by_columns(
    winner: Shape, other: Shape, rows: Sequence[Values], columns: Sequence[frozenset[str]]
) -> NearTie | None:
    """Return the tie of two shapes that read different questions in the same rows, None if most repeat each other."""
    doubtful = 0
    for values, present in zip(rows, columns, strict=True):
        one, two = winner.columns_read(present), other.columns_read(present)
        if one and len(one) == len(two):
            doubtful += _differ(*(_question(shape, values, present) for shape in (winner, other)))
    return NearTie((winner, other), (doubtful, doubtful)) if doubtful * 2 > len(rows) else None


def _question(shape: Shape, values: Values, present: frozenset[str]) -> object:
    return values[next(name for name in shape.needs[0] if name in present)]


def _differ(one: object, two: object) -> bool:
    """Return True if neither text has the other in it: a rendered prompt repeats the instruction, a second does not."""
    if not isinstance(one, str) or not isinstance(two, str):
        return one != two
    one, two = one.strip(), two.strip()
    return one not in two and two not in one
