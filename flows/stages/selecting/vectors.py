"""Reads the vectors of rows that scoring stored with ``--sketch``: gradient sketches or mean states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.selection import RowVectors

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.storage.warehouse.warehouse import Warehouse

VECTORS = {"gradients": "sketch", "states": "state"}
"""What a method may read of a pool, and the column that holds it."""


def read_vectors(warehouse: Warehouse, scores: str, kind: str) -> RowVectors:
    """Return the vectors of every row of a scores artefact, in its order.

    Parameters
    ----------
    scores : str
        Id of an artefact with the table ``sketches``.
    kind : {"gradients", "states"}
    """
    column = VECTORS[kind]
    names = [column, "sketch_norm"] if kind == "gradients" else [column]
    units: list[NDArray[np.float16]] = []
    lengths: list[NDArray[np.float64]] = []
    # A part at a time into float16: the vectors of a large corpus are gigabytes, and Arrow's copy would double them.
    for batch in warehouse.batches("scores", scores, "sketches", names):
        units.append(_rows(batch.column(column)))
        lengths.append(np.ones(len(batch)) if len(names) == 1 else _floats(batch.column("sketch_norm")))
    return RowVectors(np.concatenate(units), np.concatenate(lengths))


def _rows(column: pa.FixedSizeListArray) -> NDArray[np.float16]:
    """Return a column of lists as an array (n, width), NaN for null."""
    width = column.type.list_size
    result = np.full((len(column), width), np.nan, np.float16)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    # `flatten` leaves null lists out.
    result[valid] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return result


def _floats(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
