"""Reads multiple-choice rows: ``question``, options in ``A``, ``B``, … or ``choices``, and ``answer``, a letter.

In the conversation, the options follow the question after a blank line, one per line (``A. …``); the response is the
letter. ``choices`` may be a list of texts, an object with the lists ``text`` and ``label``, or an object from label to
text. The answer is a label, the text of an option, or its number (`curate.storage.formats.shapes.option_numbers`).
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from string import ascii_uppercase
from typing import TYPE_CHECKING

from curate.storage.formats.rows import RowProblem, is_missing, join_columns, printable
from curate.storage.formats.shapes.columns import ANSWER_KEY, CHOICE_COLUMNS, CHOICES, CONTEXT, QUESTION, SYSTEM
from curate.storage.formats.shapes.option_numbers import Numbering, numbering_of, option_of
from curate.storage.formats.shapes.texts import (
    Conversation,
    Values,
    conversation,
    exchange,
    first_column,
    optional_text,
    paragraphs,
    parse_nested,
    stripped,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from curate.storage.formats.shapes.turn_lists import TurnReader

ANSWER_COLUMNS = ("answerkey", *ANSWER_KEY)
NEEDS = (QUESTION, ("a", *CHOICES), ("b", *CHOICES), ANSWER_KEY)
OPTIONAL = (*((name,) for name in CHOICE_COLUMNS[2:]), CONTEXT, SYSTEM)

_SEVERAL = re.compile(r"[\s,;/&]+|and")


def reader_for(rows: Iterable[Values]) -> Callable[[Values, TurnReader], Conversation]:
    """Return the function that reads the rows of a file, from its first rows."""
    return partial(read, numbering=numbering_of(answered(rows)))


def read(values: Values, _: TurnReader, numbering: Numbering = "from 0") -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    question = first_column(values, QUESTION)
    answer = first_column(values, ANSWER_COLUMNS)
    labels, options = options_of(values)
    listed = "\n".join(f"{label}. {option}" for label, option in zip(labels, options, strict=True))
    prompt = text(values.get(question), question)
    if not prompt:
        raise RowProblem(question, "no prompt")
    letter = _label_of(values.get(answer), answer, labels, options, numbering)
    prompt = paragraphs(optional_text(values, CONTEXT), prompt, listed)
    turns = exchange(optional_text(values, SYSTEM), prompt, letter)
    return conversation(turns, None, question, answer)


def _label_of(answer: object, column: str, labels: list[str], options: list[str], numbering: Numbering) -> str:
    """Return the label of the correct option; several labels, and an empty answer, are returned as given."""
    if isinstance(answer, str) or is_missing(answer):
        written = stripped(answer, column)
        several = len(written) > 1 and set(_SEVERAL.sub("", written)) <= set(labels)
        if not written or (several and written not in options):
            return written
    return labels[option_of(answer, column, labels, options, numbering)]


def answered(
    rows: Iterable[Values], columns: Sequence[str] = ANSWER_COLUMNS
) -> Iterator[tuple[object, list[str], list[str]]]:
    """Yield answer, labels and texts of the options of every row that has options."""
    for values in rows:
        with suppress(RowProblem):
            yield (values.get(first_column(values, columns)), *options_of(values))


def options_of(values: Values) -> tuple[list[str], list[str]]:
    """Return the labels and the texts of the options, of equal length; RowProblem if there are none."""
    column = first_column(values, CHOICES)
    if column not in values:
        return _in_columns(values)
    listed, labels = _listed(parse_nested(values[column], column, "options"))
    if not isinstance(listed, list):
        raise RowProblem(column, f"not a list of options: {printable(str(listed), 40)}")
    if not 2 <= len(listed) <= len(ascii_uppercase):
        raise RowProblem(column, f"not a list of options: it has {len(listed)}, and 2 to {len(ascii_uppercase)} can be")
    options = [stripped(option, column) for option in listed]
    if not isinstance(labels, list) or len(labels) != len(options):
        return list(ascii_uppercase[: len(options)]), options
    return [stripped(name, column) for name in labels], options


def _in_columns(values: Values) -> tuple[list[str], list[str]]:
    """Return labels and texts of the options that have a column each."""
    given = [name for name in CHOICE_COLUMNS if name in values and not is_missing(values[name])]
    if gap := next((name for name in CHOICE_COLUMNS[: len(given)] if name not in given), None):
        raise RowProblem(gap, f"no option {gap.upper()}, but an option {given[-1].upper()}")
    if not given:
        raise RowProblem(
            None,
            "no options; put them as a list into a column 'choices', or one each into columns 'A', 'B', …, "
            f"the columns are {join_columns(list(values))}",
        )
    return [name.upper() for name in given], [stripped(values[name], name) for name in given]


def _listed(choices: object) -> tuple[object, object]:
    """Return texts and labels from the three forms in use: a list, lists of text and label, an object."""
    if not isinstance(choices, dict):
        return choices, None
    if "text" in choices:
        return choices["text"], choices.get("label")
    return list(choices.values()), list(choices)
