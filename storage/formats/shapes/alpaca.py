"""Reads alpaca rows: ``instruction``, optional ``input``, ``output``; also ``system``, ``history`` and ``tools``.

The user turn is the instruction, a blank line and the input. ``history`` holds earlier [question, answer] pairs. A
``text`` column, which repeats the whole row in a template, is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.corpus import Turn
from curate.storage.formats.rows import RowProblem, is_missing
from curate.storage.formats.shapes.columns import CONTEXT, HISTORY, INSTRUCTION, RESPONSE, SYSTEM, TOOLS
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
    tools_text,
)

if TYPE_CHECKING:
    from curate.storage.formats.shapes.turn_lists import TurnReader

NEEDS = (INSTRUCTION, RESPONSE)
OPTIONAL = (CONTEXT, SYSTEM, HISTORY, TOOLS)


def read(values: Values, _: TurnReader) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    response = first_column(values, RESPONSE)
    answer = text(values.get(response), response)
    if not answer:
        # Checked here, since an answer in the history would satisfy the check of `conversation`.
        raise RowProblem(response, "no response")
    if is_missing(values.get(INSTRUCTION[0])):
        # An input alone is not what the row was meant to ask.
        raise RowProblem(INSTRUCTION[0], "no instruction")
    question = paragraphs(optional_text(values, INSTRUCTION), optional_text(values, CONTEXT))
    system, *last = exchange(optional_text(values, SYSTEM), question, answer)
    return conversation([system, *_earlier(values), *last], tools_text(values, TOOLS), INSTRUCTION[0], response)


def _earlier(values: Values) -> list[Turn]:
    """Return the turns of ``history``, a list of [question, answer] pairs."""
    column = HISTORY[0]
    pairs = parse_nested(values.get(column) or None, column)
    if is_missing(pairs):
        return []
    turns: list[Turn] = []
    for pair in pairs if isinstance(pairs, list) else [None]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowProblem(column, "not a list of [question, answer] pairs")
        turns += [Turn("user", text(pair[0], column)), Turn("assistant", text(pair[1], column))]
    return turns
