"""Reads question-answer rows: ``question`` and ``answer``; a ``context`` or ``passage`` is put before the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.formats.shapes.columns import CONTEXT, QUESTION, RESPONSE, SYSTEM
from curate.storage.formats.shapes.texts import (
    Conversation,
    Values,
    conversation,
    exchange,
    first_column,
    optional_text,
    paragraphs,
    text,
)

if TYPE_CHECKING:
    from curate.storage.formats.shapes.turn_lists import TurnReader

NEEDS = (QUESTION, ("answer", *RESPONSE))
OPTIONAL = (CONTEXT, SYSTEM)


def read(values: Values, _: TurnReader) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    question, answer = first_column(values, QUESTION), first_column(values, NEEDS[1])
    prompt = paragraphs(optional_text(values, CONTEXT), text(values.get(question), question))
    turns = exchange(optional_text(values, SYSTEM), prompt, text(values.get(answer), answer))
    return conversation(turns, None, question, answer)
