"""Converts Arrow arrays of any type to Python values, type by type and a whole column at a time.

Texts, numbers, lists and objects are converted, however they are encoded. Dates, images and other values that cannot
be part of a conversation become `Unreadable`.
"""

from __future__ import annotations

import codecs
import json
from bisect import bisect_right
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.storage.formats.rows import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD_BYTES = 64
"""Images, sound and documents have bytes among the first of each file that no text has."""


def values_of(array: pa.Array) -> list[object]:
    """Return the values of a valid array; null keys of objects are left out, since Arrow adds them for other rows."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        stored = values_of(array.storage)
        return [_decoded(value) for value in stored] if kind.extension_name == "arrow.json" else stored
    if pa.types.is_dictionary(kind):
        return values_of(array.dictionary.take(array.indices))
    if pa.types.is_run_end_encoded(kind):
        return _runs(array)
    if pa.types.is_struct(kind):
        return _objects(array)
    if pa.types.is_map(kind):
        return _maps(array)
    if pa.types.is_nested(kind):
        return _lists(array)
    if _is_text(kind):
        return _texts(array)
    if pa.types.is_null(kind) or is_number(kind):
        return list(array.to_pylist())
    if _is_binary(kind):
        return [_binary(cell) for cell in array]
    unread = Unreadable(f"a value of type {kind}")
    return [unread if valid else None for valid in array.is_valid().to_pylist()]


def is_number(kind: pa.DataType) -> bool:
    """Return True for integers, floats and booleans."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    variable = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(variable or pa.types.is_fixed_size_binary(kind))


def _texts(array: pa.Array) -> list[object]:
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:
        return [_utf8(cell) if cell.is_valid else None for cell in array]


def _utf8(cell: pa.Scalar) -> str:
    # Undecodable bytes become lone surrogates, which the check of cells reports (PEP 383).
    content: bytes = cell.as_buffer().to_pybytes()
    return content.decode("utf-8", "surrogateescape")


def _binary(cell: pa.Scalar) -> object:
    """Return bytes that are text as text: some writers leave out the annotation of Parquet that says so."""
    if not cell.is_valid:
        return None
    head = cell.as_buffer()[:_HEAD_BYTES].to_pybytes()
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return Unreadable(f"a value of type {cell.type}")
    return Unreadable(f"a value of type {cell.type}") if b"\0" in head else _utf8(cell)


def _decoded(value: object) -> object:
    """Return the value of JSON text; text that is not JSON stays as it is."""
    try:
        return json.loads(value, strict=False) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _runs(array: pa.Array) -> list[object]:
    ends = array.run_ends.to_pylist()
    values = values_of(array.values)
    return [values[bisect_right(ends, array.offset + index)] for index in range(len(array))]


def _objects(array: pa.Array) -> list[object]:
    names = [field.name for field in array.type]
    columns = [values_of(array.field(index)) for index in range(len(names))]
    cells: Iterator[tuple[object, ...]] = zip(*columns, strict=True) if columns else iter([()] * len(array))
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None} if valid else None
        for row, valid in zip(cells, array.is_valid().to_pylist(), strict=True)
    ]


def _maps(array: pa.Array) -> list[object]:
    offsets = array.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    keys = values_of(array.keys.slice(first, last - first))
    items = values_of(array.items.slice(first, last - first))
    return [
        _map(keys[start - first : stop - first], items[start - first : stop - first]) if valid else None
        for start, stop, valid in zip(offsets, offsets[1:], array.is_valid().to_pylist(), strict=False)
    ]


def _map(keys: list[object], items: list[object]) -> object:
    if not all(isinstance(key, str) for key in keys):
        return Unreadable("a map whose keys are not text")
    if len(set(keys)) < len(keys):
        return Unreadable("a map that has a key twice")
    return dict(zip(keys, items, strict=True))


def _lists(array: pa.Array) -> list[object]:
    """Return the values of any kind of list; a view may show the same values several times."""
    valid = array.is_valid().to_pylist()
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        starts = [array.offset * size + size * index for index in range(len(array))]
        sizes = [size] * len(array)
    elif pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        starts, sizes = array.offsets.to_pylist(), array.sizes.to_pylist()
    else:
        offsets = array.offsets.to_pylist()
        starts = offsets[:-1]
        sizes = [stop - start for start, stop in zip(offsets, offsets[1:], strict=False)]
    shown = [(start, size) for start, size, there in zip(starts, sizes, valid, strict=True) if there and size]
    first = min((start for start, _ in shown), default=0)
    last = max((start + size for start, size in shown), default=0)
    values = values_of(array.values.slice(first, last - first))
    return [
        values[start - first : start - first + size] if there else None
        for start, size, there in zip(starts, sizes, valid, strict=True)
    ]
