"""Writes tool calls and results as JSON text.

A call is an object with ``name`` and ``arguments``, or a list of such objects for parallel calls. Nulls inside are
kept: an argument that is null is not an argument that is absent.
"""

from __future__ import annotations

import json

from curate.storage.formats.rows import is_missing
from curate.storage.formats.shapes.texts import json_text

_ARGUMENTS = ("arguments", "parameters", "args", "input")
"""Names of the arguments in the order in which they are looked for: OpenAI, Llama 3, LangChain, Anthropic."""


def calls_text(calls: object, column: str) -> str:
    """Return the JSON text of a message's ``tool_calls``, or of its ``function_call``, the older form."""
    if isinstance(calls, str):
        calls = _decoded(calls)
        if isinstance(calls, str):
            return calls
    listed = calls if isinstance(calls, list) else [calls]
    unwrapped = [_call(call) for call in listed]
    return json_text(unwrapped[0] if len(unwrapped) == 1 else unwrapped, column)


def _call(call: object) -> object:
    """Return ``{"name", "arguments"}`` of one call; arguments that are JSON text are decoded."""
    function = call.get("function", call) if isinstance(call, dict) else call
    if not isinstance(function, dict):
        return function
    given = next((function[name] for name in _ARGUMENTS if not is_missing(function.get(name))), None)
    named = {"name": function.get("name"), "arguments": _decoded(given) if isinstance(given, str) else given}
    return {key: value for key, value in named.items() if value is not None}


def _decoded(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text  # kept as text: this is what the model generated
    return value
