"""Tool calls and tools as chat templates want them, from the JSON text that the corpus keeps. Knows no files."""

from __future__ import annotations

import json
from typing import Any

from curate.storage.exports.rows import UnsupportedRow

Call = dict[str, Any]


def calls_of(text: str) -> list[Call]:
    """Return the calls in the content of a tool-call turn, each ``{"name", "arguments"}``.

    Raises
    ------
    Unfit
        If the text is anything else, code for instance: consumers parse calls, and would fail or skip the row.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(_is_call(call) for call in calls):
        raise UnsupportedRow("it has a tool call that is no JSON of name and arguments")
    return calls


def _is_call(call: object) -> bool:
    return isinstance(call, dict) and call.keys() == {"name", "arguments"} and isinstance(call["name"], str)


def tool_calls(calls: list[Call], arguments_as_text: bool) -> list[dict[str, Any]]:
    """Return calls as the ``tool_calls`` of an assistant message.

    Parameters
    ----------
    calls : list of dict
        From `calls_of`.
    arguments_as_text : bool
        Whether arguments become JSON text, so that columns have one type whatever the tools are.
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
        If the text is no JSON object or list of objects.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    tools = value if isinstance(value, list) else [value]
    if not all(isinstance(tool, dict) for tool in tools):
        raise UnsupportedRow("its tools are no list of JSON objects")
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
