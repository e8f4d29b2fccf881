"""Parses lists of turns, with the keys of ShareGPT (``from``/``value``) or of the chat APIs (``role``/``content``).

A tool call becomes an assistant turn whose content is the JSON text of the call: an object with ``name`` and
``arguments``, or a list of such objects for parallel calls.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from curate.schemas.corpus import Role, Turn
from curate.storage.formats.rows import RowProblem, is_missing, printable
from curate.storage.formats.shapes.columns import SYSTEM, TOOLS
from curate.storage.formats.shapes.texts import (
    Conversation,
    Values,
    conversation,
    json_text,
    optional_text,
    parse_nested,
    text,
    tools_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
_CALLS = ("function_call", "tool_call")


def turns_of_list(value: object, column: str) -> list[Turn]:
    """Return the turns of a list such as ``[{"from": "human", "value": "…"}, …]``, or of its JSON text.

    Raises
    ------
    RowProblem
        If it is not such a list, or a turn has an unknown role or a content that is not text.
    """
    items = parse_nested(value, column)
    if is_missing(items):
        return []
    if not isinstance(items, list):
        raise RowProblem(column, "not a list of turns")
    return [turn for number, item in enumerate(items, start=1) for turn in _turns(item, number, column)]


def listed_conversation(values: Values, column: str) -> Conversation:
    """Return the conversation of a row from the list of turns in `column` and its ``system`` and ``tools``."""
    turns = turns_of_list(values.get(column), column)
    system = optional_text(values, SYSTEM)
    if system and not (turns and turns[0].role == "system" and turns[0].content):
        turns.insert(0, Turn("system", system))
    return conversation(turns, tools_text(values, TOOLS), column, column)


def _turns(item: object, number: int, column: str) -> Iterator[Turn]:
    """Yield the turn of one item, or two if an assistant message has both text and a tool call."""
    if not isinstance(item, dict):
        raise RowProblem(column, f"turn {number} is not an object with a role and a content")
    given = item.get("role") if is_missing(item.get("from")) else item.get("from")
    role = _ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        named = f"the unknown role {printable(str(given), 40)!r}" if given else "no role"
        raise RowProblem(column, f"turn {number} has {named}; known are {', '.join(_ROLES)}")
    content = item.get("content") if is_missing(item.get("value")) else item.get("value")
    is_call = isinstance(given, str) and given.strip().lower() in _CALLS
    nested = is_call or role == "tool"
    yield Turn(role, _content(content, number, column, nested=nested), is_call)
    calls = item.get("tool_calls") or item.get("function_call")
    if calls and role == "assistant":
        yield Turn("assistant", text(_calls_text(calls), column), True)


def _content(value: object, number: int, column: str, *, nested: bool) -> str:
    """Return a turn's text; with `nested`, objects and lists (tool calls and results) are written as JSON."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and "type" in part for part in value):
        return text("".join(_part(part, number, column) for part in value), column)
    if nested and isinstance(value, (dict, list)):
        return text(json_text(value), column)
    try:
        return text(value, column)
    except RowProblem as problem:
        raise RowProblem(column, f"turn {number}: {problem.reason}") from problem


def _part(part: dict[str, object], number: int, column: str) -> str:
    """Return the text of one part of a content that is a list of parts."""
    content = part.get("text")
    if part["type"] != "text" or not isinstance(content, str):
        kind = printable(str(part["type"]), 40)
        raise RowProblem(column, f"turn {number} has a part of type {kind!r}; only text can be used")
    return content


def _calls_text(calls: object) -> str:
    """Return the JSON text of a message's ``tool_calls``, or of its ``function_call``, the older form."""
    listed = calls if isinstance(calls, list) else [calls]
    unwrapped = [_call(call) for call in listed]
    return json_text(unwrapped[0] if len(unwrapped) == 1 else unwrapped)


def _call(call: object) -> object:
    """Return ``{"name", "arguments"}`` of one call; arguments that are JSON text are decoded."""
    function = call.get("function", call) if isinstance(call, dict) else call
    if not isinstance(function, dict):
        return function
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            pass  # kept as text: this is what the model generated
    return {"name": function.get("name"), "arguments": arguments}
