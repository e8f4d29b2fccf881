"""Reads JSON documents of rows: an array, lists inside a wrapper such as ``{"data": [...]}``, or concatenated objects.

Elements are decoded one by one on a sliding window, so that a document of any size is read in bounded memory. An
invalid element is quarantined, and reading continues at the next object that looks like a row. Row numbers count the
elements; after an invalid one, those that could be decoded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from curate.storage.formats.containers.json_lines import checked_object
from curate.storage.formats.containers.text_window import TextWindow
from curate.storage.formats.rows import SAMPLE_CHARACTERS, RawRow, RawRows, RowProblem, quarantined
from curate.storage.formats.shapes.columns import KNOWN_COLUMNS, TURN_FIELDS

if TYPE_CHECKING:
    from curate.schemas.corpus import Quarantined
    from curate.storage.formats.containers.remote import CorpusFile

_DECODER = json.JSONDecoder(strict=False)
# An unescaped `{"` where an element may start. Quotes inside JSON strings are escaped, so no text matches.
_NEXT_OBJECT = re.compile(r'[,}\n]\s*(?=\{\s*")')
_KEY = re.compile(r'[\s{,]*(?P<key>"(?:[^"\\]|\\.)*")\s*:\s*')
_LIST_OF_OBJECTS = re.compile(r'\[\s*\{\s*"(?P<key>\w*)"')
_NEVER = re.compile(r"(?!)")


def read(path: CorpusFile, source: str) -> RawRows:
    """Yield the rows of a JSON document, plain or compressed."""
    return _Document(path, source).rows()


def is_wrapped(text: str) -> bool:
    """Return True if `text` begins with an object that wraps a list of rows, False if with a row.

    A row may contain lists of objects too: turns, or the value of a known column.
    """
    at = 0
    while match := _KEY.match(text, at):
        if match["key"].strip('"').lower() in KNOWN_COLUMNS:
            return False
        at = match.end()
        if first := _LIST_OF_OBJECTS.match(text, at):
            return first["key"] not in TURN_FIELDS
        try:
            at = _DECODER.raw_decode(text, at)[1]
        except (ValueError, RecursionError):
            return False
    return False


class _Document:
    """Reading state of one document: window, number of elements, and the columns of the last valid row."""

    def __init__(self, path: CorpusFile, source: str) -> None:
        self._window = TextWindow(path)
        self._source = source
        self._count = 0
        self._columns: frozenset[str] | set[str] = KNOWN_COLUMNS

    def rows(self) -> RawRows:
        """Yield the rows of the whole document."""
        opening = self._window.peek()
        if opening == "[":
            yield from self._list()
        elif opening == "{" and is_wrapped(self._window.ahead(len(self._window.text))):
            yield from self._wrapped()
        else:
            yield from self._elements("")
        if self._window.peek():
            yield self._broken("text after the end of the JSON document", self._window.ahead(SAMPLE_CHARACTERS))

    def _wrapped(self) -> RawRows:
        """Yield the elements of every list of a wrapper; its other values are metadata, not rows."""
        window = self._window
        window.advance(1)
        while (opening := window.peek()) not in ("}", ""):
            if opening == ",":
                window.advance(1)
                continue
            try:
                window.decode()
                if window.peek() == ":":
                    window.advance(1)
                if window.peek() != "[":
                    window.decode()
                    continue
            except RowProblem as problem:
                yield self._broken(f"{problem.reason}; nothing after it is read", window.ahead(SAMPLE_CHARACTERS))
                window.find(_NEVER)
                return
            yield from self._list()
        window.advance(len(opening))
        if not opening:
            yield self._broken("the file ends before the JSON object is closed", "")

    def _list(self) -> RawRows:
        self._window.advance(1)
        yield from self._elements("]")

    def _elements(self, closing: str) -> RawRows:
        """Yield the elements up to and including `closing`, or up to the end of the file if that is empty."""
        window = self._window
        while (opening := window.peek()) not in (closing, ""):
            if opening == ",":
                window.advance(1)
                continue
            try:
                row = self._row(window.decode())
            except RowProblem as problem:
                sample = window.ahead(SAMPLE_CHARACTERS)
                if not self._find_next_row():
                    yield self._broken(f"{problem.reason}; no row was found after it", sample)
                    return
                yield self._broken(problem.reason, sample)
            else:
                yield row
        window.advance(len(opening))
        if closing and not opening:
            yield self._broken("the file ends before the JSON array is closed", "")

    def _row(self, value: object) -> RawRow | Quarantined:
        try:
            values = checked_object(value)
        except RowProblem as problem:
            return self._broken(problem.reason, value)
        self._count += 1
        self._columns = set(values)
        return RawRow(self._source, self._count, values)

    def _broken(self, reason: str, sample: object) -> Quarantined:
        self._count += 1
        return quarantined(self._source, self._count, None, reason, sample)

    def _find_next_row(self) -> bool:
        """Move to the next object that shares a column with the last row; False, at the end, if there is none."""
        window = self._window
        while window.find(_NEXT_OBJECT):
            try:
                value = window.look()
            except RowProblem:
                continue
            # Turns of the invalid element are objects too, but share no column with the rows.
            if isinstance(value, dict) and not self._columns.isdisjoint(value):
                return True
        return False
