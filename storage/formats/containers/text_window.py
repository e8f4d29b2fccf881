"""A sliding window over the text of a file, from which JSON values are decoded one after another.

The window holds only the text of the value being decoded, up to a limit.
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
    from curate.storage.formats.containers.remote import CorpusFile

REDUCED_LIMIT = 2 * 2**20
"""Longest value, in characters, after one value had no end; see `TextWindow._reduce_limit`."""
_DECODER = json.JSONDecoder(strict=False)
_BEGINNING_CHARACTERS = 2**16
_SPACE = re.compile(r"[ \t\r\n\ufeff\x1e]*")
# An error this close to the end of the window may come from a number, literal or escape that is cut there.
_CUT_CHARACTERS = 16


class TextWindow:
    """Text of a file from a position onwards; `text[at:]` has been read and not consumed."""

    def __init__(self, path: CorpusFile) -> None:
        self._chunks = byte_chunks(path)
        self._decode_bytes = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ended = False
        self._limit = MAX_ROW_BYTES
        self.text = ""
        self.at = 0
        # The kind of document is detected from its beginning, and compressed files may yield small chunks.
        while not self._ended and len(self.text) < _BEGINNING_CHARACTERS:
            self._grow()
        self.text = self.text.removeprefix("\ufeff")

    def ahead(self, characters: int) -> str:
        """Return the next `characters` characters, or fewer if they have not been read yet."""
        return self.text[self.at : self.at + characters]

    def peek(self) -> str:
        """Skip white space and return the next character, empty at the end of the file."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text) or self._ended:
                return self.text[self.at : self.at + 1]
            self._grow()

    def advance(self, characters: int) -> None:
        """Skip characters that have been read."""
        self.at += characters

    def decode(self) -> object:
        """Return the JSON value at the current position, and move past it.

        Raises
        ------
        RowProblem
            If there is no valid value, or it has no end within the limit. The position does not change.
        """
        value, self.at = self._scan()
        return value

    def look(self) -> object:
        """Return the JSON value at the current position without moving; RowProblem as for `decode`."""
        return self._scan()[0]

    def _scan(self) -> tuple[object, int]:
        """Return the value at the current position and the position after it."""
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
                self._reduce_limit()
                raise RowProblem(None, f"not valid JSON (no end within {read:,} characters)")
            self._grow()

    def find(self, pattern: re.Pattern[str]) -> bool:
        """Move past the next match of `pattern` and return True; move to the end and return False if there is none."""
        while True:
            if match := pattern.search(self.text, self.at):
                self.at = match.end()
                return True
            if self._ended:
                self.at = len(self.text)
                return False
            # A match may extend beyond the end of the window.
            self.at = max(self.at, len(self.text) - 1000)
            self._grow()

    def _grow(self) -> None:
        """Read at least as much text as is pending, so that the attempts to decode a long value grow geometrically."""
        waiting = self.text[self.at :]
        pieces, length = [waiting], 0
        while not self._ended and length <= len(waiting):
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            pieces.append(self._decode_bytes.decode(chunk or b"", final=self._ended))
            length += len(pieces[-1])
        self.text, self.at = "".join(pieces), 0

    def _may_be_cut(self, problem: ValueError | RecursionError) -> bool:
        """Return True if the value may be valid once more text is read."""
        if not isinstance(problem, json.JSONDecodeError):
            return False
        return problem.msg.startswith("Unterminated string") or problem.pos > len(self.text) - _CUT_CHARACTERS

    def _reduce_limit(self) -> None:
        """Lower the limit for the rest of the file.

        After a missing bracket every later object may have no end either, and each would read up to the limit.
        """
        self._limit = min(self._limit, REDUCED_LIMIT)

    def _problem(self, problem: ValueError | RecursionError) -> RowProblem:
        if len(self.text) - self.at > REDUCED_LIMIT:
            self._reduce_limit()
        if isinstance(problem, json.JSONDecodeError):
            problem = json.JSONDecodeError(problem.msg, "", problem.pos - self.at)
        return RowProblem(None, broken_json(problem))
