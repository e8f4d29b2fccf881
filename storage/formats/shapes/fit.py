"""How a file's rows fit the shape that was found for it: finds rows that the shape would read, but not as meant.

A row may lack the column of a part, yet have another one that can be named so (`input` where there is no `prompt`,
`answer` where there is no `output`), or have the columns of a richer shape. Such a row is quarantined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.formats.rows import RowProblem
from curate.storage.formats.shapes.shape import Shape, filled
from curate.storage.formats.shapes.votes import best_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.storage.formats.shapes.texts import Values


class Fit:
    """A shape, and the columns of the file's first rows.

    Parameters
    ----------
    shape : Shape
    rows : sequence of Values
        The first rows of the file, columns renamed.
    candidates : sequence of Shape
        The shapes that the file might have had; only `shape` if it was stated.
    """

    def __init__(self, shape: Shape, rows: Sequence[Values], candidates: Sequence[Shape]) -> None:
        self.shape = shape
        self.read = shape.for_file(rows).read
        self._candidates = candidates
        present = [filled(row) for row in rows]
        self._usual = [_alternatives(group, present) for group in shape.needs]
        self._known: dict[frozenset[str], tuple[str | None, str] | None] = {}

    def check(self, values: Values) -> None:
        """Raise RowProblem if the shape would read the row's columns as other parts than the rest of the file's."""
        present = filled(values)
        if present not in self._known:
            self._known[present] = self._problem(present)
        if problem := self._known[present]:
            raise RowProblem(*problem)

    def _problem(self, present: frozenset[str]) -> tuple[str | None, str] | None:
        """Return column and reason why rows with these columns do not fit, None if they do."""
        for usual, group in zip(self._usual, self.shape.needs, strict=True):
            if present.isdisjoint(usual) and not present.isdisjoint(group):
                return usual[0], f"no {usual[0]}"
        if other := self._richer(present):
            return None, f"has the columns of {other}, where the file's first rows are {self.shape.words}"
        return None

    def _richer(self, present: frozenset[str]) -> str | None:
        """Return the shape that reads all that this one does and more, None if there is none."""
        best = best_shapes(present, self._candidates)
        return None if self.shape in best or not self.shape.fits(present) or not best else best[0].words


def _alternatives(group: Sequence[str], present: Sequence[frozenset[str]]) -> tuple[str, ...]:
    """Return the names of a part that stand for one another: those that no row has beside an earlier one.

    In a file whose rows have ``output`` and ``answer``, these are two things; where some rows have one and some the
    other, they are two names of one.
    """
    usual: list[str] = []
    for name in group:
        together = any(name in row and not row.isdisjoint(usual) for row in present)
        usual += [] if together else [name]
    return tuple(usual)
