"""The table of row shapes (`SHAPES`), and detection of a file's shape from the columns of its first rows.

Each shape is one module, such as `sharegpt`: ``NEEDS`` lists groups of columns of which a row must have one each, and
``read`` returns the conversation of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError, UsageError, did_you_mean
from curate.storage.formats.rows import is_missing, join_columns
from curate.storage.formats.shapes import (
    alpaca,
    messages,
    multiple_choice,
    prompt_completion,
    question_answer,
    sharegpt,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.storage.formats.shapes.texts import Conversation, Values


@dataclass(frozen=True)
class Shape:
    """One row shape."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    """Groups of column names; a row has this shape if it has at least one of each group."""
    read: Callable[[Values], Conversation]

    def fits(self, values: Values, *, filled: bool) -> bool:
        """Return True if the row has the columns of this shape; with `filled`, null cells do not count."""
        columns = {name for name, value in values.items() if not (filled and is_missing(value))}
        return all(not columns.isdisjoint(group) for group in self.needs)

    @property
    def words(self) -> str:
        """Description for error messages: ``alpaca (instruction, output)``."""
        return f"{self.name} ({', '.join(group[0] for group in self.needs)})"


SHAPES: tuple[Shape, ...] = (
    Shape("sharegpt", sharegpt.NEEDS, sharegpt.read),
    Shape("messages", messages.NEEDS, messages.read),
    Shape("alpaca", alpaca.NEEDS, alpaca.read),
    Shape("multiple-choice", multiple_choice.NEEDS, multiple_choice.read),
    Shape("question-answer", question_answer.NEEDS, question_answer.read),
    Shape("prompt-completion", prompt_completion.NEEDS, prompt_completion.read),
)
"""In order of preference: if a file has the columns of several shapes, the first is used."""


def shape_named(name: str) -> Shape:
    """Return the shape that ``--format`` names; UsageError if there is none."""
    wanted = name.strip().lower().replace("_", "-")
    for shape in SHAPES:
        if shape.name == wanted:
            return shape
    raise UsageError(f"unknown format {name!r}{did_you_mean(wanted, [shape.name for shape in SHAPES])}")


def detect(rows: Sequence[Values], candidates: Sequence[Shape] = SHAPES) -> Shape | None:
    """Return the shape that fits most of `rows`, None if none fits any row.

    Null cells count only if no shape fits without them: a file concatenated from others has the columns of all of
    them, null where they do not apply.
    """
    for filled in (True, False):
        counts = [sum(shape.fits(row, filled=filled) for row in rows) for shape in candidates]
        if any(counts):
            return candidates[counts.index(max(counts))]
    return None


def wrong_columns(source: str, row: int, columns: list[str], stated: Shape | None) -> InputError:
    """Return the error for a file that has no known shape, or not the stated one."""
    first, last = columns[0] if columns else "…", columns[-1] if columns else "…"
    wanted = f"which is not {stated.words}" if stated else f"known are {', '.join(shape.words for shape in SHAPES)}"
    return InputError(
        f"{source}, row {row}: the columns are {join_columns(columns) or 'none'}; {wanted}; "
        f"map the columns, for example --map prompt={first} --map response={last}"
    )
