"""A sliding window over the text of a file, from which JSON values are decoded one after another.

Holds as much text as the value being decoded needs, and no more than a limit. Knows nothing of rows.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING

from curate.storage.formats.containers.compressed import byte_chunks
from curate.storage.formats.containers.json_lines import broken_json
from curate.storage.formats.rows import MAX_ROW_BYTES, RowProblem

if TYPE_CHECKING:
    from pathlib import Path

WARY_LIMIT = 2 * 2**20
_DECODER = json.JSONDecoder(strict=False)
_BEGINNING_CHARACTERS = 2**16
_SPACE = re.compile(r"[ \t\r\n]*")
# Errors this near to the end of the window may come from a number, literal or escape that is cut there.
_CUT_CHARACTERS = 16


class TextWindow:
    """Text of a file from a position onwards; `text[at:]` is what was read ahead."""

    def __init__(self, path: Path) -> None:
        self._chunks = byte_chunks(path)
        self._decode_bytes = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ended = False
        self._limit = MAX_ROW_BYTES
        self.text = ""
        self.at = 0
        # Compressed files may come in small pieces, and the beginning tells what kind of document it is.
        while not self._ended and len(self.text) < _BEGINNING_CHARACTERS:
            self._grow()
        self.text = self.text.removeprefix("\ufeff")

    def ahead(self, characters: int) -> str:
        """Return the next `characters` characters, or fewer where they were not read yet."""
        return self.text[self.at : self.at + characters]

    def peek(self) -> str:
        """Skip white space and return the next character, empty at the end of the file."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text) or self._ended:
                return self.text[self.at : self.at + 1]
            self._grow()

    def advance(self, characters: int) -> None:
        """Move on; the characters have been looked at before."""
        self.at += characters

    def decode(self) -> object:
        """Return the JSON value that starts here, and move behind it.

        Raises
        ------
        RowProblem
            If no value starts here, or it has no end within the limit. The window stays where it is.
        """
        value, self.at = self._scan()
        return value

    def look(self) -> object:
        """Return the JSON value that starts here without moving; RowProblem as for `decode`."""
        return self._scan()[0]

    def _scan(self) -> tuple[object, int]:
        """Return the value that starts here and the position behind it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except (ValueError, RecursionError) as problem:
                if self._ended or not self._may_be_cut(problem):
                    raise self._problem(problem) from problem
            else:
                if end < len(self.text) or self._ended:
                    return value, end
            if len(self.text) - self.at > self._limit:
                read = len(self.text) - self.at
                self._be_wary()
                raise RowProblem(None, f"not valid JSON (no end within {read:,} characters)")
            self._grow()

    def find(self, pattern: re.Pattern[str]) -> bool:
        """Move behind the next match of `pattern`; at the end of the file, and False, if there is none."""
        while True:
            if match := pattern.search(self.text, self.at):
                self.at = match.end()
                return True
            if self._ended:
                self.at = len(self.text)
                return False
            # A match may straddle the end of what was read.
            self.at = max(self.at, len(self.text) - 1000)
            self._grow()

    def _grow(self) -> None:
        """Read on: one piece, or as much again as is waiting, so that a long value is not decoded too often."""
        waiting = self.text[self.at :]
        pieces, length = [waiting], 0
        while not self._ended and length <= len(waiting):
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            pieces.append(self._decode_bytes.decode(chunk or b"", final=self._ended))
            length += len(pieces[-1])
        self.text, self.at = "".join(pieces), 0

    def _may_be_cut(self, problem: ValueError | RecursionError) -> bool:
        """Return True if the value may be whole once more text is read."""
        if not isinstance(problem, json.JSONDecodeError):
            return False
        return problem.msg.startswith("Unterminated string") or problem.pos > len(self.text) - _CUT_CHARACTERS

    def _be_wary(self) -> None:
        """One missing bracket made the decoder swallow megabytes; do not let every following one do it again."""
        self._limit = min(self._limit, WARY_LIMIT)

    def _problem(self, problem: ValueError | RecursionError) -> RowProblem:
        if len(self.text) - self.at > WARY_LIMIT:
            self._be_wary()
        if isinstance(problem, json.JSONDecodeError):
            problem = json.JSONDecodeError(problem.msg, "", problem.pos - self.at)
        return RowProblem(None, broken_json(problem))
