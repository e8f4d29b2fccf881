"""Converts tool calls and tools from the corpus's JSON text to the form that chat templates expect."""

from __future__ import annotations

import json
from typing import Any

from curate.storage.exports.rows import UnsupportedRow

Call = dict[str, Any]


def calls_of(text: str) -> list[Call]:
    """Return the calls in the content of a tool-call turn, each ``{"name", "arguments"}``; arguments may be empty.

    Raises
    ------
    Unfit
        If the text is anything else, such as code: consumers parse calls, and would fail or skip the row.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(_is_call(call) for call in calls):
        raise UnsupportedRow("a tool call is not JSON of name and arguments")
    return [{"name": call["name"], "arguments": call.get("arguments", {})} for call in calls]


def _is_call(call: object) -> bool:
    return isinstance(call, dict) and {"name"} <= call.keys() <= {"name", "arguments"} and isinstance(call["name"], str)


def tool_calls(calls: list[Call], arguments_as_text: bool) -> list[dict[str, Any]]:
    """Return calls as the ``tool_calls`` of an assistant message.

    Parameters
    ----------
    calls : list of dict
        From `calls_of`.
    arguments_as_text : bool
        Whether arguments become JSON text, so that columns have one type for all tools.
    """
    return [
        {"type": "function", "function": {"name": call["name"], "arguments": _arguments(call, arguments_as_text)}}
        for call in calls
    ]


def _arguments(call: Call, as_text: bool) -> Any:
    value = call["arguments"]
    return json.dumps(value, ensure_ascii=False) if as_text and not isinstance(value, str) else value


def listed_tools(text: str) -> list[dict[str, Any]]:
    """Return tools as a list of ``{"type": "function", "function": …}``; bare function descriptions are wrapped.

    Raises
    ------
    Unfit
        If the text is not a JSON object or a list of objects.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    tools = value if isinstance(value, list) else [value]
    if not all(isinstance(tool, dict) for tool in tools):
        raise UnsupportedRow("its tools are not a list of JSON objects")
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
