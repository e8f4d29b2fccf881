"""Reads multiple-choice rows: ``question``, options in ``A``, ``B``, … or ``choices``, and ``answer``, a letter.

In the conversation, the options follow the question after a blank line, one per line (``A. …``); the response is the
letter. ``choices`` may be a list of texts, an object with the lists ``text`` and ``label``, or an object from label to
text. A numeric answer is an index from 0.
"""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING

from curate.storage.formats.rows import RowProblem
from curate.storage.formats.shapes.columns import ANSWER_KEY, CHOICE_COLUMNS, CHOICES, QUESTION, SYSTEM
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


def read(values: Values) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    question = first_column(values, QUESTION)
    answer = first_column(values, ("answerkey", *ANSWER_KEY))
    labels, options = options_of(values)
    listed = "\n".join(f"{label}. {option}" for label, option in zip(labels, options, strict=True))
    prompt = text(values.get(question), question)
    if not prompt:
        raise RowProblem(question, "no prompt")
    letter = letter_of(values.get(answer), answer, labels)
    turns = exchange(optional_text(values, SYSTEM), paragraphs(prompt, listed), letter)
    return conversation(turns, None, question, answer)


def options_of(values: Values) -> tuple[Sequence[str], list[str]]:
    """Return the labels and the texts of the options, of equal length."""
    column = first_column(values, CHOICES)
    if column not in values:
        given = [name for name in CHOICE_COLUMNS if name in values and values[name] is not None]
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


def letter_of(answer: object, column: str, labels: Sequence[str]) -> str:
    """Return the label of the correct option."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(labels):
            raise RowProblem(column, f"{answer} is not an option; there are {len(labels)}, counted from 0")
        return labels[answer]
    return text(answer, column)
