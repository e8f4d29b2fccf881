"""Reads JSON lines: one JSON object per line; an invalid line is quarantined and the rest is read.

Row numbers are line numbers. Accepted: control characters inside strings, duplicate keys (the last wins), blank lines,
several objects in a line, byte order marks and commas between them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from curate.storage.formats.containers.text_lines import byte_lines, text_of
from curate.storage.formats.rows import MAX_ROW_BYTES, RawRow, RawRows, RowProblem, quarantined

if TYPE_CHECKING:
    from curate.storage.formats.containers.remote import CorpusFile

_DECODER = json.JSONDecoder(strict=False)
_BETWEEN = " \t\r\n,\ufeff\x1e"
"""What may stand before, between and after the objects of a line."""


def read(path: CorpusFile, source: str) -> RawRows:
    """Yield the rows of a JSON lines file, plain or compressed."""
    for number, line in enumerate(byte_lines(path), start=1):
        if line.isspace():
            continue
        text = text_of(line)
        try:
            if len(line) > MAX_ROW_BYTES:
                raise RowProblem(None, f"longer than {MAX_ROW_BYTES // 2**20} MiB")
            yield RawRow(source, number, json_object(text))
        except RowProblem as problem:
            if several := objects_of(text):
                yield from (RawRow(source, number, values) for values in several)
            elif text.strip(_BETWEEN):
                yield quarantined(source, number, problem.column, problem.reason, text)


def objects_of(text: str) -> list[dict[str, object]]:
    """Return the objects of a line that holds several, or marks besides; empty if it holds anything else.

    Such lines come from files joined without a line break, with the byte order mark of the second, from arrays without
    their brackets, and from JSON text sequences (RFC 7464).
    """
    if len(text) > MAX_ROW_BYTES:
        return []
    values, at = [], _skipped(text, 0)
    while at < len(text):
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict):
            return []
        values.append(value)
        at = _skipped(text, at)
    return values


def _skipped(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BETWEEN:
        at += 1
    return at


def json_object(text: str) -> dict[str, object]:
    """Return the JSON object that `text` is.

    Raises
    ------
    RowProblem
        If it is not valid JSON, or another kind of value.
    """
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as problem:
        raise RowProblem(None, broken_json(problem)) from problem
    return checked_object(value)


def checked_object(value: object) -> dict[str, object]:
    """Return `value` if it is a JSON object; RowProblem if it is any other JSON value."""
    if not isinstance(value, dict):
        kind = {list: "array", str: "string", bool: "true or false", type(None): "null"}.get(type(value), "number")
        raise RowProblem(None, f"not a JSON object with named columns but a JSON {kind}")
    return value


def broken_json(problem: ValueError | RecursionError) -> str:
    """Return the reason why text is not valid JSON, with the position of the error (characters from 1)."""
    if isinstance(problem, json.JSONDecodeError):
        return f"not valid JSON ({problem.msg} at character {problem.pos + 1})"
    if isinstance(problem, RecursionError):
        return "JSON nested too deeply"
    return f"not valid JSON ({problem})"
