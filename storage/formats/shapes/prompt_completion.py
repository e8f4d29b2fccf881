"""Reads prompt-completion rows: ``prompt`` and ``completion`` (or ``response``, ``output``, …), text or lists of turns.

In the conversational form either column, or both, is a list of role/content turns. An ``input`` or ``context`` column
is appended to a textual prompt after a blank line, as in alpaca. An answer that repeats the prompt, as in preference
data, is read without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.corpus import Turn
from curate.storage.formats.rows import RowProblem
from curate.storage.formats.shapes.columns import CONTEXT, PROMPT, REJECTED, RESPONSE, SYSTEM, TOOLS
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

if TYPE_CHECKING:
    from curate.storage.formats.shapes.turn_lists import TurnReader

NEEDS = (PROMPT, RESPONSE)
OPTIONAL = (CONTEXT, SYSTEM, TOOLS)


def read(values: Values, reader: TurnReader) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    prompt, response = first_column(values, PROMPT), first_column(values, RESPONSE)
    answer = _response_turns(values.get(response), response, reader)
    if not any(turn.role == "assistant" and turn.content for turn in answer):
        raise RowProblem(response, "no response")
    opening = _prompt_turns(values, prompt, reader)
    if _repeated(opening, answer):
        opening = []
    elif REJECTED in values:
        answer = _without_prompt(answer, opening, values[REJECTED])
    turns = [Turn("system", optional_text(values, SYSTEM)), *opening, *answer]
    return conversation(turns, tools_text(values, TOOLS), prompt, response)


def _repeated(opening: list[Turn], answer: list[Turn]) -> bool:
    """Return True if the answer is a conversation that has the prompt in it, as ``chosen`` of preference data often."""
    n = len(opening)
    start = next((i for i, turn in enumerate(answer) if turn.role != "system" or turn in opening), 0)
    return n > 0 and answer[start : start + n] == opening


def _without_prompt(answer: list[Turn], opening: list[Turn], rejected: object) -> list[Turn]:
    """Return a textual answer of preference data without the prompt that it and the rejected one begin with."""
    if len(opening) != 1 or len(answer) != 1 or not isinstance(rejected, str):
        return answer
    prompt, content = opening[0].content.strip(), answer[0].content
    if not prompt or not content.strip().startswith(prompt) or not rejected.strip().startswith(prompt):
        return answer
    return [Turn("assistant", content.strip().removeprefix(prompt).strip())]


def _prompt_turns(values: Values, column: str, reader: TurnReader) -> list[Turn]:
    value = values.get(column)
    if isinstance(value, list):
        return reader.turns(value, column)
    context = optional_text(values, [name for name in CONTEXT if name != column])
    return [Turn("user", paragraphs(text(value, column), context))]


def _response_turns(value: object, column: str, reader: TurnReader) -> list[Turn]:
    return reader.turns(value, column) if isinstance(value, list) else [Turn("assistant", text(value, column))]
