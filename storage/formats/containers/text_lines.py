"""Reads the lines of a possibly compressed file as bytes, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.formats.containers.compressed import byte_chunks
from curate.storage.formats.rows import MAX_ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.storage.formats.containers.remote import CorpusFile

_BOM = b"\xef\xbb\xbf"


def byte_lines(path: CorpusFile) -> Iterator[bytes]:
    r"""Yield each line with its ``\n``, a byte order mark removed.

    Only ``\n`` ends a line: ``str.splitlines`` would also split at Unicode separators, which JSON text may contain.
    A line longer than ``MAX_ROW_BYTES`` is cut there and its rest skipped, so that it becomes one invalid row.
    """
    pieces: list[bytes] = []
    length = 0
    first = True
    for chunk in byte_chunks(path):
        if first:
            chunk, first = chunk.removeprefix(_BOM), False
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            yield b"".join([*pieces, piece[: max(0, MAX_ROW_BYTES - length)], b"\n"])
            pieces, length = [], 0
        if length < MAX_ROW_BYTES:
            pieces.append(rest)
            length += len(rest)
    if last := b"".join(pieces):
        yield last


def text_of(line: bytes) -> str:
    """Return the line as text; bytes that are not UTF-8 become lone surrogates, which the check of cells reports."""
    return line.decode("utf-8", "surrogateescape")
