"""Finds the option that an answer means: its label, its text, or its number, counted from 0 or from 1.

In a text file a number is written like any other answer, and published files count from 0 as well as from 1. One row
does not say which; the answers of many rows do: 0 is an option only where counting starts at 0, and the number of
options only where it starts at 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from curate.storage.formats.rows import RowProblem, printable
from curate.storage.formats.shapes.texts import stripped

if TYPE_CHECKING:
    from collections.abc import Iterable

    Answered = tuple[object, list[str], list[str]]
    """Answer, labels and texts of the options of one row."""

Numbering = Literal["from 0", "from 1", "unknown", "mixed", "texts"]
"""What numbers in the answer column mean; ``mixed``: some count from 0 and some from 1; ``texts``: none counts."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")
_RARE = 10
"""Of two contradicting signs, one that is this many times rarer is taken for an error of single rows."""


def numbering_of(rows: Iterable[Answered]) -> Numbering:
    """Return what the numbers in the answer column of a file mean, from its first rows or all of them.

    Numbers of JSON and Parquet count from 0 where the rows do not say otherwise; for numbers in text that is unknown.
    """
    zeros = last = numbers = texts = plain = 0
    typed = False
    for answer, labels, options in rows:
        number, written = whole_number(answer), _as_text(answer)
        if written in labels:
            continue
        if isinstance(answer, str) and written in options:
            texts += 1
            plain += number is None or number > len(options)
        elif number is not None:
            numbers += 1
            zeros += number == 0
            last += number == len(options)
            typed |= not isinstance(answer, str)
    if texts >= numbers and not typed:
        # Options such as 1, 2, 3, 4 alone could be numbers of options as well.
        return "texts" if plain or not texts else "unknown"
    if zeros > _RARE * last:
        return "from 0"
    if last > _RARE * zeros:
        return "from 1"
    return "from 0" if typed else "mixed" if zeros else "unknown"


def option_of(answer: object, column: str, labels: list[str], options: list[str], numbering: Numbering) -> int:
    """Return the position of the option that an answer means.

    Raises
    ------
    RowProblem
        If it stands for no option, or may stand for two.
    """
    written, number = _as_text(answer) or stripped(answer, column), whole_number(answer)
    if written in labels:
        return labels.index(written)
    if number is not None and (numbering in ("from 0", "from 1") or not isinstance(answer, str)):
        return _counted(number, column, len(options), int(numbering == "from 1"))
    if number is not None and numbering == "mixed":
        raise RowProblem(
            column, f"{written!r} is a number, and those of other rows count from 0 and from 1; write labels"
        )
    positions = {options.index(written)} if written in options else set()
    if number is not None and numbering == "unknown":
        positions |= {position for position in (number, number - 1) if 0 <= position < len(options)}
    elif not positions:
        positions = {i for i, label in enumerate(labels) if label.lower() == written.lower()}
    return _only(sorted(positions), written, column, labels)


def _counted(number: int, column: str, options: int, first: int) -> int:
    if not first <= number < options + first:
        raise RowProblem(column, f"{number} is not an option; there are {options}, counted from {first}")
    return number - first


def _only(positions: list[int], written: str, column: str, labels: list[str]) -> int:
    """Return the only one of the positions that an answer may mean; RowProblem if there are several, or none."""
    if len(positions) == 1:
        return positions[0]
    if not positions:
        raise RowProblem(column, f"{printable(written, 40)!r} is neither a label nor one of the {len(labels)} options")
    raise RowProblem(
        column,
        f"{written!r} may mean option {labels[positions[0]]} or {labels[positions[1]]}, and the other rows do not say "
        "where numbers count from; write labels",
    )


def whole_number(answer: object) -> int | None:
    """Return the whole number that a cell holds, as a number or as text; None if it holds something else."""
    if isinstance(answer, bool) or not isinstance(answer, int | float | str):
        return None
    return int(float(answer)) if _WHOLE.fullmatch(str(answer).strip()) else None


def _as_text(answer: object) -> str:
    """Return an answer as the labels and texts of options are written; empty for what is neither text nor number."""
    if isinstance(answer, str):
        return answer.strip()
    number = whole_number(answer)
    return "" if number is None else str(number)
