"""Vectors of rows beside their signals: unit length in float16, and their place in the table that scoring returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.schemas.sketches import SKETCH_NUMBERS, sketches_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import NDArray


def unit_vectors(name: str, values: torch.Tensor) -> dict[str, NDArray[Any]]:
    """Return vectors (n, width) scaled to unit length as float16, and their lengths (n,) as ``<name>_norm``."""
    # Unit vectors first: a hidden state of a large model overflows float16, and a sketch of a small error underflows.
    vectors = values.double()
    norm = vectors.norm(dim=1)
    unit = vectors / norm.clamp_min(1e-300).unsqueeze(1)
    return {name: unit.cpu().numpy().astype(np.float16), f"{name}_norm": norm.cpu().numpy()}


def with_vectors(
    scores: pa.RecordBatch, computed: Mapping[str, NDArray[Any]], bad: NDArray[np.bool_]
) -> pa.RecordBatch:
    """Return a table of scores with the columns of `sketches_schema` added, null for the rows in `bad` (n,)."""
    width = computed["state"].shape[1]
    n = len(bad)
    sketch = computed.get("sketch")
    norm = computed.get("sketch_norm", np.full(n, np.nan))
    columns = {
        "sketch": pa.nulls(n, pa.list_(pa.float16(), SKETCH_NUMBERS)) if sketch is None else _lists(sketch, bad),
        "sketch_norm": pa.array(norm.astype(np.float32), mask=bad | np.isnan(norm)),
        "state": _lists(computed["state"], bad),
    }
    schema = sketches_schema(width)
    for name, column in columns.items():
        scores = scores.append_column(schema.field(name), column)
    return scores


def _lists(values: NDArray[np.float16], null: NDArray[np.bool_]) -> pa.FixedSizeListArray:
    flat = pa.array(values.reshape(-1), pa.float16())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(null))
