"""Converts Arrow record batches to raw rows, for Parquet, Arrow files and Hugging Face datasets.

Cells that cannot be part of a conversation (embeddings, images, dates) are not converted to Python objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from curate.storage.formats.rows import RawRow, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_ROWS = 1000


def rows_of(batch: pa.RecordBatch, source: str, first: int) -> Iterator[RawRow]:
    """Yield the rows of a record batch, numbered from `first`.

    Raises
    ------
    pyarrow.ArrowInvalid
        If the batch is corrupt.
    """
    for column in batch.columns:
        _check(column)
    for start in range(0, batch.num_rows, BATCH_ROWS):
        piece = batch.slice(start, BATCH_ROWS)
        columns = [_values(piece.column(i)) for i in range(piece.num_columns)]
        for offset in range(piece.num_rows):
            values = {name: column[offset] for name, column in zip(batch.schema.names, columns, strict=True)}
            yield RawRow(source, first + start + offset, values)


def _check(column: pa.Array) -> None:
    """Raise ArrowInvalid if offsets point outside the data: reading such cells would crash the process.

    The column is validated as binary data, since text that is not UTF-8 is an error of single rows only.
    """
    if _may_hold_text(column.type):
        column.view(_as_binary(column.type)).validate(full=True)


def _as_binary(kind: pa.DataType) -> pa.DataType:
    """Return the type with the same layout in which text is binary data."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_string_view(kind):
        return pa.binary_view()
    if pa.types.is_struct(kind):
        return pa.struct([kind.field(i).with_type(_as_binary(kind.field(i).type)) for i in range(kind.num_fields)])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_as_binary(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_as_binary(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_as_binary(kind.value_type)), kind.list_size)
    return kind


def _values(column: pa.Array) -> list[object]:
    """Return one column as Python objects."""
    if not _may_hold_text(column.type):
        unread = Unreadable(f"a value of type {column.type}")
        return [unread if valid else None for valid in column.is_valid().to_pylist()]
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        values = [_cell(cell) for cell in column]
    return [_without_nulls(value) for value in values] if pa.types.is_nested(column.type) else values


def _without_nulls(value: object) -> object:
    """Return a nested cell without the keys that Arrow adds because other rows have them."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _may_hold_text(kind: pa.DataType) -> bool:
    """Return False for binary data, dates and lists of numbers, which can be large and contain no text."""
    if pa.types.is_dictionary(kind):
        return _may_hold_text(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_may_hold_text(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _may_hold_text(kind.value_type) and not _is_number(kind.value_type)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or _is_number(kind) or pa.types.is_null(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _cell(cell: pa.Scalar) -> object:
    """Return one cell of a column in which some bytes are not UTF-8."""
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        if pa.types.is_nested(cell.type) or pa.types.is_dictionary(cell.type):
            return Unreadable("text that is not valid UTF-8")
        return cell.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")
