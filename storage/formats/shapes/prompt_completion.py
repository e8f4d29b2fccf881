"""Prompt and completion: ``prompt`` and ``completion`` (or ``response``, ``output``, …), as text or as lists of turns.

The conversational form has a list of role/content turns in either column, or in both. An ``input`` or ``context``
beside a textual prompt follows it after a blank line, as in alpaca.
"""

from __future__ import annotations

from curate.schemas.corpus import Turn
from curate.storage.formats.rows import RowProblem
from curate.storage.formats.shapes.columns import CONTEXT, PROMPT, RESPONSE, SYSTEM, TOOLS
from curate.storage.formats.shapes.texts import (
    Conversation,
    Values,
    conversation,
    first_column,
    optional_text,
    paragraphs,
    text,
    tools_text,
)
from curate.storage.formats.shapes.turn_lists import turns_of_list

NEEDS = (PROMPT, RESPONSE)


def read(values: Values) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    prompt, response = first_column(values, PROMPT), first_column(values, RESPONSE)
    said = _said(values.get(response), response)
    if not any(turn.role == "assistant" and turn.content for turn in said):
        raise RowProblem(response, "no response")
    turns = [Turn("system", optional_text(values, SYSTEM)), *_asked(values, prompt), *said]
    return conversation(turns, tools_text(values, TOOLS), prompt, response)


def _asked(values: Values, column: str) -> list[Turn]:
    value = values.get(column)
    if isinstance(value, list):
        return turns_of_list(value, column)
    context = optional_text(values, [name for name in CONTEXT if name != column])
    return [Turn("user", paragraphs(text(value, column), context))]


def _said(value: object, column: str) -> list[Turn]:
    return turns_of_list(value, column) if isinstance(value, list) else [Turn("assistant", text(value, column))]
