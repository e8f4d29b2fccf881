"""Reads CSV and TSV files with a header row; row numbers count data rows from 1.

Quotes are parsed strictly (RFC 4180): a row with unbalanced quotes is quarantined and reading continues at the next
line. A lenient parser would read the rest of the file into one cell.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError
from curate.storage.formats.containers.text_lines import byte_lines, text_of
from curate.storage.formats.rows import MAX_ROW_BYTES, RawRow, RawRows, quarantined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.storage.formats.containers.remote import CorpusFile

_DELIMITERS = (",", ";", "\t", "|")


class _RewindableLines:
    """Lines for the csv module that can be read again after an unterminated row."""

    def __init__(self, path: CorpusFile) -> None:
        self._lines = map(text_of, byte_lines(path))
        self._returned: list[str] = []
        self.taken: list[str] = []
        """Lines of the current row."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._returned.pop() if self._returned else next(self._lines)
        if not self.taken:
            # Files that were joined have the byte order mark of each at the start of a row.
            line = line.removeprefix("\ufeff")
        self.taken.append(line)
        return line

    def give_back(self, keep: int) -> None:
        """Return all lines of the current row but the first `keep`, to be read again."""
        self._returned.extend(reversed(self.taken[keep:]))
        del self.taken[keep:]


def read(path: CorpusFile, source: str) -> RawRows:
    """Yield the rows of a delimited file, plain or compressed.

    Raises
    ------
    InputError
        If the header row cannot be read or names a column twice.
    """
    # The csv module's limit is process-wide and 128 KiB by default; rows of a megabyte are normal in corpora.
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = _RewindableLines(path)
    header, delimiter = _header(lines, path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 0
    while True:
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            number += 1
            # Only the first line is bad; the others that the parser consumed may be good rows.
            lines.give_back(keep=1)
            yield quarantined(source, number, None, f"not valid CSV ({problem})", lines.taken[0])
            continue
        if not any(cells):
            continue
        number += 1
        if cells == header:
            yield quarantined(source, number, None, "repeats the header row", "".join(lines.taken))
        elif len(cells) == len(header):
            yield RawRow(source, number, _named(header, cells))
        else:
            reason = f"{len(cells)} cells where the header names {len(header)} columns"
            yield quarantined(source, number, None, reason, "".join(lines.taken))


def _header(lines: _RewindableLines, path: CorpusFile) -> tuple[list[str], str]:
    """Return the column names and the delimiter; for .csv, the most frequent candidate in the first line."""
    first = next((line for line in lines if line.strip()), "")
    tab = ".tsv" in path.name.lower()
    delimiter = "\t" if tab else max(_DELIMITERS, key=first.count)
    lines.give_back(keep=len(lines.taken) - 1)
    try:
        header = [cell.strip() for cell in next(csv.reader(lines, delimiter=delimiter, strict=True), [])]
    except csv.Error as problem:
        raise InputError(f"{path}, row 1: the header row is not valid CSV ({problem}); correct its quotes") from problem
    duplicates = sorted({name for name in header if name and header.count(name) > 1})
    if duplicates:
        raise InputError(f"{path} names the column {duplicates[0]!r} twice in its header row; rename one of them")
    return header, delimiter


def _named(header: list[str], cells: list[str]) -> dict[str, object]:
    """Return a row by column; of several columns without a name, as spreadsheets write them, only filled cells."""
    if header.count("") < 2:
        return dict(zip(header, cells, strict=True))
    places = enumerate(zip(header, cells, strict=True), start=1)
    return {name or f"column {place}": cell for place, (name, cell) in places if name or cell}
