"""Reads a corpus source: opens its files, detects their shape, and yields conversations in bounded memory."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from curate.schemas.corpus import Example, Quarantined
from curate.schemas.errors import InputError
from curate.storage.formats.containers.remote import without_query
from curate.storage.formats.examples import ExampleReader
from curate.storage.formats.rows import DamagedFile, RawRow, RawRows
from curate.storage.formats.shapes.columns import ColumnNames
from curate.storage.formats.shapes.detect import SHAPES, shape_named, wrong_columns
from curate.storage.formats.shapes.fit import Fit
from curate.storage.formats.shapes.votes import NearTie, elect
from curate.storage.formats.sources import SourceFile, existing_path, is_address, source_files, source_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from curate.storage.formats.shapes.shape import Shape

_ROWS_FOR_DETECTION = 100


def read_source(
    path: str | Path,
    format: str | None = None,  # noqa: A002 (named as the flag is)
    column_map: Mapping[str, str] | None = None,
    licence: str | None = None,
    ignored: Counter[str] | None = None,
    name: str | None = None,
) -> Iterator[Example | Quarantined]:
    """Return every row of a corpus source in order, as a conversation or with the reason why it cannot be used.

    Reading the same source again gives the same rows in the same order; a resumed build relies on it.

    Parameters
    ----------
    path : str or Path
        A file, a folder of files, a Hugging Face dataset folder, ``hub:name@revision``, or an address that fsspec
        opens, such as ``s3://bucket/folder``.
    format : str, optional
        Name of one of ``SHAPES``; by default detected from the columns of each file's first rows.
    column_map : mapping of str to str, optional
        Part of the conversation to the file's column, as in ``--map response=answer``.
    licence : str, optional
        Licence of the source, for rows that have no ``licence`` column of their own.
    ignored : Counter of str, optional
        Gets the number of usable rows by field that was filled and not read.
    name : str, optional
        Name of the source in the tables, by default that of `source_name`.

    Returns
    -------
    iterator of Example or Quarantined

    Raises
    ------
    UsageError
        At once, if the format or a part in `column_map` is unknown.
    InputError
        At once, if there is no such file. While reading, if a file is truncated, its columns match no shape, or no row
        can be used; rows before a truncation have been yielded by then.
    """
    shape = None if format is None else shape_named(format)
    names = ColumnNames(column_map or {})
    if not is_address(path):
        existing_path(path)
    reader = ExampleReader(names, licence, Counter() if ignored is None else ignored)
    return _rows(str(path), name or source_name(path), _SourceReader(shape, names, reader))


def _rows(address: str, name: str, reading: _SourceReader) -> Iterator[Example | Quarantined]:
    """Yield the rows of all files of a source."""
    usable = 0
    first: Quarantined | None = None
    for file in source_files(address, name):
        try:
            for row in reading.rows(file):
                if isinstance(row, Example):
                    usable += 1
                elif first is None:
                    first = row
                yield row
        except DamagedFile as problem:
            raise InputError(
                f"{file.address} {problem.what}; {usable} usable rows precede the damage; get a complete copy of it"
            ) from problem
    if usable == 0:
        raise _nothing_usable(without_query(address), first)


def _nothing_usable(address: str, first: Quarantined | None) -> InputError:
    if first is None:
        return InputError(f"{address} is empty: it holds no rows; check how it was written")
    column = "" if first.column is None else f", column {first.column!r}"
    return InputError(
        f"no row of {address} can be used; the first problem is at {first.source}, row {first.row}{column}: "
        f"{first.reason}; correct the file, or name other columns with --map response=COLUMN"
    )


def _undecided(name: str, first: int, looked_at: int, tie: NearTie) -> InputError:
    """Return the error for a file that two shapes explain about equally."""
    one, two = tie.shapes
    return InputError(
        f"{name}, rows from {first}: {tie.rows[0]} of the first {looked_at} are {one.words} and {tie.rows[1]} are "
        f"{two.words}, which is no clear majority; state the shape with --format {one.name} or --format {two.name}, "
        "or put the rows of each into a file of their own"
    )


class _SourceReader:
    """Reads the rows of a source with the shape and the column names that the user stated."""

    def __init__(self, shape: Shape | None, names: ColumnNames, reader: ExampleReader) -> None:
        self._stated = shape
        self._names = names
        self._reader = reader

    def rows(self, file: SourceFile) -> Iterator[Example | Quarantined]:
        """Yield the rows of one file; its shape is detected from the first rows."""
        raw = file.rows
        fit: Fit | None = None
        broken: DamagedFile | None = None
        # Repeated while all rows so far are unusable: they tell nothing about the columns.
        while fit is None:
            head, broken = _take(raw, _ROWS_FOR_DETECTION)
            usable = [row for row in head if isinstance(row, RawRow)]
            fit = self._fit_of(file.name, usable) if usable else None
            yield from self._examples(head, fit)
            if broken is not None:
                raise broken
            if not head:
                return
        yield from self._examples(raw, fit)

    def _fit_of(self, name: str, rows: list[RawRow]) -> Fit:
        columns = list(dict.fromkeys(column for row in rows for column in row.values))
        self._names.check(name, columns)
        candidates = SHAPES if self._stated is None else (self._stated,)
        renamed = [self._names.rename(row.values) for row in rows]
        shape = elect(renamed, candidates)
        if shape is None:
            raise wrong_columns(name, rows[0].number, columns, self._stated)
        if isinstance(shape, NearTie):
            raise _undecided(name, rows[0].number, len(rows), shape)
        return Fit(shape, renamed, candidates)

    def _examples(self, rows: Iterable[RawRow | Quarantined], fit: Fit | None) -> Iterator[Example | Quarantined]:
        """Yield rows as conversations; without a fit all of `rows` are quarantined ones."""
        for row in rows:
            if isinstance(row, Quarantined):
                yield row
            elif fit is not None:
                yield self._reader.example(row, fit)


def _take(raw: RawRows, count: int) -> tuple[list[RawRow | Quarantined], DamagedFile | None]:
    """Return the next `count` rows, and the error after them if the file is damaged there.

    The error is returned, not raised, so that the rows before the damage are still used.
    """
    rows: list[RawRow | Quarantined] = []
    try:
        rows.extend(islice(raw, count))
    except DamagedFile as problem:
        return rows, problem
    return rows, None
