"""Converts Arrow record batches to raw rows, for Parquet, Arrow files and Hugging Face datasets."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.schemas.errors import InputError
from curate.storage.formats.containers.arrow_checks import check
from curate.storage.formats.containers.arrow_values import is_number, values_of
from curate.storage.formats.rows import RawRow, Unreadable, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BATCH_ROWS = 1000


def rows_of(batch: pa.RecordBatch, source: str, first: int) -> Iterator[RawRow]:
    """Yield the rows of a record batch, numbered from `first`.

    Raises
    ------
    InputError
        If two columns, or two fields of an object, have one name.
    pyarrow.ArrowInvalid
        If the batch is corrupt.
    """
    _check_names(batch.schema, source, "")
    for column in batch.columns:
        if not _is_vector(column.type):
            check(column)
    for start in range(0, batch.num_rows, BATCH_ROWS):
        piece = batch.slice(start, BATCH_ROWS)
        columns = [_values(piece.column(i)) for i in range(piece.num_columns)]
        for offset in range(piece.num_rows):
            values = {name: column[offset] for name, column in zip(batch.schema.names, columns, strict=True)}
            yield RawRow(source, first + start + offset, values)


def _check_names(fields: Iterable[pa.Field], source: str, place: str) -> None:
    """Raise InputError if a name occurs twice: a row would silently lose the value of the first."""
    listed = list(fields)
    twice = [name for name, count in Counter(field.name for field in listed).items() if count > 1]
    if twice:
        name = printable(place + twice[0], 60)
        raise InputError(f"{source} names the column {name!r} twice in its schema; rename one of them")
    for field in listed:
        _check_names(_children(field.type), source, f"{place}{field.name}.")


def _children(kind: pa.DataType) -> list[pa.Field]:
    """Return the fields of a type, through its encoding."""
    if isinstance(kind, pa.BaseExtensionType):
        return _children(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _children(kind.value_type)
    return [kind.field(index) for index in range(kind.num_fields)] if pa.types.is_nested(kind) else []


def _is_vector(kind: pa.DataType) -> bool:
    """Return True for lists of numbers, such as embeddings: they can be large and contain no text."""
    if pa.types.is_map(kind) or pa.types.is_struct(kind) or not pa.types.is_nested(kind):
        return False
    return not pa.types.is_union(kind) and (is_number(kind.value_type) or _is_vector(kind.value_type))


def _values(column: pa.Array) -> list[object]:
    """Return one column as Python objects."""
    if not _is_vector(column.type):
        return values_of(column)
    unread = Unreadable(f"a value of type {column.type}")
    return [unread if valid else None for valid in column.is_valid().to_pylist()]
