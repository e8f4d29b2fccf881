"""The table of row shapes (`SHAPES`).

Each shape is one module, such as `sharegpt`: ``NEEDS`` lists groups of columns of which a row must have one each,
``OPTIONAL`` those that are read besides, and ``read`` returns the conversation of a row.
`curate.storage.formats.shapes.votes` detects the shape of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.errors import InputError, UsageError, did_you_mean
from curate.storage.formats.rows import join_columns
from curate.storage.formats.shapes import (
    alpaca,
    messages,
    multiple_choice,
    prompt_completion,
    question_answer,
    sharegpt,
)
from curate.storage.formats.shapes.columns import INSTRUCTION, PROMPT, QUESTION
from curate.storage.formats.shapes.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

SHAPES: tuple[Shape, ...] = (
    Shape("sharegpt", sharegpt.NEEDS, sharegpt.OPTIONAL, sharegpt.read, whole=True),
    Shape("messages", messages.NEEDS, messages.OPTIONAL, messages.read, whole=True),
    Shape("alpaca", alpaca.NEEDS, alpaca.OPTIONAL, alpaca.read),
    Shape(
        "multiple-choice",
        multiple_choice.NEEDS,
        multiple_choice.OPTIONAL,
        multiple_choice.read,
        reader_for=multiple_choice.reader_for,
    ),
    Shape("question-answer", question_answer.NEEDS, question_answer.OPTIONAL, question_answer.read),
    Shape("prompt-completion", prompt_completion.NEEDS, prompt_completion.OPTIONAL, prompt_completion.read),
)
"""In order of preference, for files that several shapes explain equally."""


def shape_named(name: str) -> Shape:
    """Return the shape that ``--format`` names; UsageError if there is none."""
    wanted = name.strip().lower().replace("_", "-")
    for shape in SHAPES:
        if shape.name == wanted:
            return shape
    raise UsageError(f"unknown format {name!r}{did_you_mean(wanted, [shape.name for shape in SHAPES])}")


def wrong_columns(source: str, row: int, columns: list[str], stated: Shape | None) -> InputError:
    """Return the error for a file that has no known shape, or not the stated one."""
    wanted = f"which is not {stated.words}" if stated else f"known are {', '.join(shape.words for shape in SHAPES)}"
    return InputError(
        f"{source}, row {row}: the columns are {join_columns(columns) or 'none'}; {wanted}; "
        f"map the columns, for example {_example_of_map(columns)}"
    )


def _example_of_map(columns: Sequence[str]) -> str:
    """Return the flags of a likely mapping; never one that takes rejected answers for the response."""
    offered = [column for column in columns if "reject" not in column.lower()] or ["…"]
    chosen = next((column for column in offered if column.lower() == "chosen"), None)
    others = [column for column in offered if column != chosen]
    asks = [column for column in others if column.strip().lower() in INSTRUCTION + PROMPT + QUESTION]
    if chosen and not asks:
        return f"--map messages={chosen}"
    return f"--map prompt={(asks or offered)[0]} --map response={chosen or offered[-1]}"
