"""The shapes of a row, and which of them a file has, judged by the columns of its first rows.

One shape a module: what columns it ``NEEDS`` (one of each group) and how it is ``read``. Knows nothing of files.
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
    """One way in which a row may hold a conversation."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    """Groups of column names; a row has this shape if it has at least one of each group."""
    read: Callable[[Values], Conversation]

    def fits(self, values: Values, *, filled: bool) -> bool:
        """Return True if the row has the columns; if `filled`, only those count that are not null."""
        columns = {name for name, value in values.items() if not (filled and is_missing(value))}
        return all(not columns.isdisjoint(group) for group in self.needs)

    @property
    def words(self) -> str:
        """The shape as an error names it: ``alpaca (instruction, output)``."""
        return f"{self.name} ({', '.join(group[0] for group in self.needs)})"


SHAPES: tuple[Shape, ...] = (
    Shape("sharegpt", sharegpt.NEEDS, sharegpt.read),
    Shape("messages", messages.NEEDS, messages.read),
    Shape("alpaca", alpaca.NEEDS, alpaca.read),
    Shape("multiple-choice", multiple_choice.NEEDS, multiple_choice.read),
    Shape("question-answer", question_answer.NEEDS, question_answer.read),
    Shape("prompt-completion", prompt_completion.NEEDS, prompt_completion.read),
)
"""In order of preference, where a file has the columns of several."""


def shape_named(name: str) -> Shape:
    """Return the shape that ``--format`` names; UsageError if there is none."""
    wanted = name.strip().lower().replace("_", "-")
    for shape in SHAPES:
        if shape.name == wanted:
            return shape
    raise UsageError(f"unknown format {name!r}{did_you_mean(wanted, [shape.name for shape in SHAPES])}")


def detect(rows: Sequence[Values], candidates: Sequence[Shape] = SHAPES) -> Shape | None:
    """Return the shape that most of `rows` have, None if none of them has any.

    Null cells do not count, unless no row says anything without them: files made by joining others have the columns
    of all of them.
    """
    for filled in (True, False):
        counts = [sum(shape.fits(row, filled=filled) for row in rows) for shape in candidates]
        if any(counts):
            return candidates[counts.index(max(counts))]
    return None


def wrong_columns(source: str, row: int, columns: list[str], stated: Shape | None) -> InputError:
    """Return the error for a file that has no known shape, or not the one that was stated."""
    first, last = columns[0] if columns else "…", columns[-1] if columns else "…"
    wanted = f"which is not {stated.words}" if stated else f"known are {', '.join(shape.words for shape in SHAPES)}"
    return InputError(
        f"{source}, row {row}: the columns are {join_columns(columns) or 'none'}; {wanted}; "
        f"say which column is which, for example --map prompt={first} --map response={last}"
    )
