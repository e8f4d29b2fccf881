"""Checks Arrow arrays before their values are read: offsets and indices outside the data would crash the process.

Text that is not UTF-8 is no damage: it is an error of single rows. `pyarrow.Array.validate` with ``full`` refuses it,
and its checks of offsets cannot be had without, so these are made here, type by type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TEXT = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}


def check(array: pa.Array) -> None:
    """Raise ArrowInvalid if an array is not valid at any depth, apart from bytes that are not UTF-8."""
    array.validate()
    _check(array)


def _check(array: pa.Array) -> None:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        _check(array.storage)
    elif kind in _TEXT:
        array.view(_TEXT[kind]).validate(full=True)
    elif pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            _check(array.field(index))
    elif pa.types.is_dictionary(kind):
        _check_range(_integers(array.indices.drop_null()), len(array.dictionary) - 1)
        _check(array.dictionary)
    elif pa.types.is_run_end_encoded(kind):
        _check_ascending(_integers(array.run_ends), None)
        _check(array.values)
    elif pa.types.is_map(kind):
        _check_ascending(_integers(array.offsets), len(array.keys))
        _check(array.keys)
        _check(array.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _check_ascending(_integers(array.offsets), len(array.values))
        _check(array.values)
    elif pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        starts, sizes = _integers(array.offsets), _integers(array.sizes)
        for positions in (starts, sizes, starts + sizes):
            _check_range(positions, len(array.values))
        _check(array.values)
    elif pa.types.is_fixed_size_list(kind):
        _check(array.values)
    else:
        array.validate(full=True)


def _integers(array: pa.Array) -> NDArray[np.int64]:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)


def _check_range(values: NDArray[np.int64], largest: int) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= largest):
        raise pa.ArrowInvalid("a position lies outside the data")


def _check_ascending(offsets: NDArray[np.int64], largest: int | None) -> None:
    if offsets.size and not (offsets[0] >= 0 and (np.diff(offsets) >= 0).all()):
        raise pa.ArrowInvalid("offsets do not ascend")
    if largest is not None:
        _check_range(offsets, largest)
