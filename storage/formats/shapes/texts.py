"""Rules shared by all row shapes: how a cell becomes text, and how turns become a conversation.

Contents are stripped of surrounding white space, except the indentation of their first line, and not changed otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from curate.schemas.corpus import Turn
from curate.storage.formats.rows import RowProblem, Unreadable, is_missing

Values = Mapping[str, object]


class Conversation(NamedTuple):
    """The conversation of one row."""

    turns: tuple[Turn, ...]
    tools: str | None


def first_column(values: Values, names: Sequence[str]) -> str:
    """Return the first of `names` that the row has, or ``names[0]`` if it has none."""
    return next((name for name in names if name in values), names[0])


def first_filled(values: Values, names: Sequence[str]) -> str:
    """Return the first of `names` that is not null in the row, or that it has, or ``names[0]``."""
    return next((name for name in names if not is_missing(values.get(name))), first_column(values, names))


def text(value: object, column: str) -> str:
    """Return a cell's text without surrounding white space, empty for None.

    The first line keeps an indentation of a tab or of two spaces or more: code needs it.

    Raises
    ------
    RowProblem
        If it is not text, or contains NUL bytes, unpaired surrogates or bytes that were not UTF-8.
    """
    if not isinstance(value, str):
        if is_missing(value):
            return ""
        raise RowProblem(column, f"{_kind(value)} where text is expected")
    if "\0" in value:
        raise RowProblem(column, f"NUL byte at character {value.index(chr(0)) + 1}")
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise RowProblem(column, _surrogate(value[problem.start], problem.start + 1)) from problem
    return _indentation(value) + value.strip()


def _indentation(value: str) -> str:
    if not value[:1].isspace() or not (start := value.lstrip()):
        return ""
    indentation = value[: len(value) - len(start)].rpartition("\n")[2]
    # A single space is what a careless writer leaves; no code is indented by one.
    deep = "\t" in indentation or len(indentation) > 1
    return indentation if deep and not indentation.strip(" \t") else ""


def stripped(value: object, column: str) -> str:
    """Return a cell's text without any surrounding white space, for names, labels and JSON."""
    return text(value, column).strip()


def label(value: object, column: str) -> str:
    """Return the text of a cell that names a category: a text, a number or a bool; empty for None.

    Raises
    ------
    RowProblem
        If it is none of these, or a text that `text` refuses.
    """
    # Whole floats are how pandas stores integer categories beside missing ones: 3.0 and 3 are the same category.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, bool | int | float) and not is_missing(value) else stripped(value, column)


def optional_text(values: Values, names: Sequence[str]) -> str:
    """Return the text of the first of `names` that the row has, empty if it has none."""
    column = first_column(values, names)
    return text(values.get(column), column)


def parse_nested(value: object, column: str, items: str = "turns") -> object:
    """Return a nested cell, a list of `items`; JSON text, as in CSV files, is decoded."""
    if not isinstance(value, str):
        return value
    try:
        decoded: object = json.loads(stripped(value, column) or "null", strict=False)
        return decoded
    except (ValueError, RecursionError) as problem:
        raise RowProblem(column, f"text that is not a JSON list of {items}") from problem


def json_text(value: object, column: str) -> str:
    """Return the JSON text of a nested cell; RowProblem if it holds a value that JSON does not have."""

    def refused(part: object) -> object:
        raise RowProblem(column, f"{_kind(part)} where JSON is expected")

    return json.dumps(value, ensure_ascii=False, default=refused)


def tools_text(values: Values, names: Sequence[str]) -> str | None:
    """Return the JSON text of a row's tools, unchanged if it is text already; None if there are none."""
    column = first_column(values, names)
    value = values.get(column)
    if isinstance(value, (list, dict)):
        # Nulls in tools have never been kept; ids of examples contain this text.
        value = json_text(_without_nulls(value), column) if value else None
    given = stripped(value, column)
    return None if given in ("", "[]", "{}", "null") else given


def paragraphs(*parts: str) -> str:
    """Return the parts that are not empty, separated by blank lines."""
    return "\n\n".join(part for part in parts if part)


def exchange(system: str, question: str, answer: str) -> tuple[Turn, Turn, Turn]:
    """Return the turns of a single question and its answer."""
    return Turn("system", system), Turn("user", question), Turn("assistant", answer)


def conversation(turns: Sequence[Turn], tools: str | None, prompt: str, response: str) -> Conversation:
    """Return the canonical conversation of a row's turns.

    Empty turns are removed, except tool results, which may be empty. Turns after the last supervised turn are removed
    too, since they contain no supervised tokens.

    Parameters
    ----------
    turns : sequence of Turn
        In order, contents already stripped.
    tools : str or None
        JSON text of the tools.
    prompt, response : str
        Columns to name in the error if there is no user turn, or no assistant turn.

    Raises
    ------
    RowProblem
        If no user turn or no assistant turn is left.
    """
    kept = [turn for turn in turns if turn.content or turn.role == "tool"]
    answered = any(turn.role == "assistant" for turn in kept)
    while kept and not (kept[-1].role == "assistant" and kept[-1].supervised):
        kept.pop()
    if not kept:
        raise RowProblem(response, "no response that is supervised" if answered else "no response")
    if not any(turn.role == "user" for turn in kept):
        raise RowProblem(prompt, "no prompt")
    return Conversation(tuple(kept), tools)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _kind(value: object) -> str:
    if isinstance(value, Unreadable):
        return value.what
    kinds = {bool: "true or false", list: "a list", dict: "an object", int: "a number", float: "a number"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _surrogate(character: str, position: int) -> str:
    code = ord(character)
    # Undecodable bytes 0x80-0xFF arrive as U+DC80-U+DCFF (PEP 383).
    byte = f" (or byte 0x{code - 0xDC00:02X}, which is not UTF-8)" if 0xDC80 <= code <= 0xDCFF else ""
    return f"unpaired surrogate U+{code:04X}{byte} at character {position}"
