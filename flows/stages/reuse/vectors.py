"""Reuse of embeddings: of a grown corpus only prompts without a stored vector are encoded.

A vector depends bit for bit on its text and the encoder only (`curate.engines.embed.encode`), so it may come from any
earlier embeddings artefact of the same encoder and version. These artefacts are the cache: deleting one costs time, not
correctness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.artefacts import Manifest
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class KnownVectors:
    """Vectors of examples, sorted by example id."""

    ids: NDArray[np.bytes_]
    """Example ids, ascending, shape (m,)."""
    vectors: NDArray[np.float32]
    """Shape (m, width); (0, 0) if none is known."""

    @property
    def width(self) -> int:
        """Dimension of the vectors, 0 if none is known."""
        return int(self.vectors.shape[1])

    def rows(self, ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Return the row of `vectors` for each id, -1 if it is not known."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        row = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[row] == ids, row, -1)


def as_bytes(ids: pa.ChunkedArray | pa.Array) -> NDArray[np.bytes_]:
    """Return example ids as fixed-width bytes, which sort and compare without Python objects."""
    return np.asarray(ids.to_numpy(zero_copy_only=False)).astype(np.bytes_)


def known_vectors(warehouse: Warehouse, plan: Recipe, ids: NDArray[np.bytes_]) -> KnownVectors:
    """Return the vectors of those of `ids` that earlier embeddings of `plan`'s encoder contain.

    Memory: one vector for each known id.
    """
    wanted = np.unique(ids)
    taken = np.zeros(len(wanted), np.bool_)
    known_ids: list[NDArray[np.bytes_]] = []
    known: list[NDArray[np.float32]] = []
    for one in _same_encoder(warehouse, plan):
        for batch in warehouse.batches("embeddings", one.id):
            batch_ids = as_bytes(batch.column("example_id"))
            position = np.minimum(np.searchsorted(wanted, batch_ids), len(wanted) - 1)
            new = np.flatnonzero((wanted[position] == batch_ids) & ~taken[position])
            if len(new):
                vectors = batch.column("embedding").flatten().to_numpy().reshape(len(batch_ids), -1)
                known_ids.append(batch_ids[new])
                known.append(vectors[new])
                taken[position[new]] = True
        # Older artefacts need not be read once every id has its vector.
        if taken.all():
            break
    if not known:
        return KnownVectors(np.empty(0, wanted.dtype), np.empty((0, 0), np.float32))
    all_ids = np.concatenate(known_ids)
    order = np.argsort(all_ids)
    return KnownVectors(all_ids[order], np.concatenate(known)[order])


def _same_encoder(warehouse: Warehouse, plan: Recipe) -> list[Manifest]:
    """Return the embeddings computed by the encoder of `plan`, newest first."""
    return [
        one
        for one in warehouse.list_readable("embeddings")
        if (one.version, one.settings.get("dtype")) == (plan.version, plan.settings["dtype"])
        and one.inputs.get("encoder") == plan.inputs["encoder"]
    ]
