"""Reads multiple-choice rows: ``question``, options in ``A``, ``B``, … or ``choices``, and ``answer``, a letter.

In the conversation, the options follow the question after a blank line, one per line (``A. …``); the response is the
letter. ``choices`` may be a list of texts, an object with the lists ``text`` and ``label``, or an object from label to
text. The answer is a label, the text of an option, or a number, which counts the options from 0.
"""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import TYPE_CHECKING

from curate.storage.formats.rows import RowProblem, is_missing, printable
from curate.storage.formats.shapes.columns import ANSWER_KEY, CHOICE_COLUMNS, CHOICES, CONTEXT, QUESTION, SYSTEM
from curate.storage.formats.shapes.texts import (
    Conversation,
    Values,
    conversation,
    exchange,
    first_column,
    optional_text,
    paragraphs,
    parse_nested,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NEEDS = (QUESTION, ("a", *CHOICES), ("b", *CHOICES), ANSWER_KEY)
OPTIONAL = (*((name,) for name in CHOICE_COLUMNS[2:]), CONTEXT, SYSTEM)

_SEVERAL = re.compile(r"[\s,;/&]+|and")


def read(values: Values) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    question = first_column(values, QUESTION)
    answer = first_column(values, ("answerkey", *ANSWER_KEY))
    labels, options = options_of(values)
    listed = "\n".join(f"{label}. {option}" for label, option in zip(labels, options, strict=True))
    prompt = text(values.get(question), question)
    if not prompt:
        raise RowProblem(question, "no prompt")
    letter = label_of(values.get(answer), answer, labels, options)
    prompt = paragraphs(optional_text(values, CONTEXT), prompt, listed)
    turns = exchange(optional_text(values, SYSTEM), prompt, letter)
    return conversation(turns, None, question, answer)


def options_of(values: Values) -> tuple[Sequence[str], list[str]]:
    """Return the labels and the texts of the options, of equal length."""
    column = first_column(values, CHOICES)
    if column not in values:
        given = [name for name in CHOICE_COLUMNS if name in values and not is_missing(values[name])]
        if gap := next((name for name in CHOICE_COLUMNS[: len(given)] if name not in given), None):
            raise RowProblem(gap, f"no option {gap.upper()}, but an option {given[-1].upper()}")
        return [name.upper() for name in given], [text(values[name], name) for name in given]
    listed, labels = _listed(parse_nested(values[column], column))
    if not isinstance(listed, list) or not 2 <= len(listed) <= len(ascii_uppercase):
        raise RowProblem(column, "not a list of options")
    options = [text(option, column) for option in listed]
    if not isinstance(labels, list) or len(labels) != len(options):
        return ascii_uppercase[: len(options)], options
    return [text(label, column) for label in labels], options


def _listed(choices: object) -> tuple[object, object]:
    """Return texts and labels from the three forms in use: a list, lists of text and label, an object."""
    if not isinstance(choices, dict):
        return choices, None
    if "text" in choices:
        return choices["text"], choices.get("label")
    return list(choices.values()), list(choices)


def label_of(answer: object, column: str, labels: Sequence[str], options: Sequence[str]) -> str:
    """Return the label of the correct option, given as label, number or text; several labels are returned as given.

    Raises
    ------
    RowProblem
        If it is none of these.
    """
    given = letter_of(answer, column, labels)
    if not given or given in labels:
        return given
    by_text = labels[options.index(given)] if given in options else None
    # CSV has no numbers: the text is the index that JSON would have.
    by_number = labels[int(given)] if given.isascii() and given.isdigit() and int(given) < len(labels) else None
    if by_text and by_number and by_text != by_number:
        raise RowProblem(column, f"{given!r} is the text of option {by_text} and the number of {by_number}")
    by_case = {label.lower(): label for label in labels}
    if label := by_text or by_number or by_case.get(given.lower()):
        return label
    if set(_SEVERAL.sub("", given)) <= set(labels):
        return given
    raise RowProblem(column, f"{printable(given, 40)!r} is neither a label nor one of the {len(options)} options")


def letter_of(answer: object, column: str, labels: Sequence[str]) -> str:
    """Return the label of an option counted from 0, or the text that is given."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(labels):
            raise RowProblem(column, f"{answer} is not an option; there are {len(labels)}, counted from 0")
        return labels[answer]
    return text(answer, column)
