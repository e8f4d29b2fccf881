"""Vectors that this warehouse holds already, by example id: a corpus that grew is embedded only where it grew.

A vector depends on its text and the encoder alone, to the bit (`curate.engines.embed.encode`), so it may come from any
earlier embeddings artefact of the same encoder and version. There is no cache to keep in order: what is known is what
finished artefacts hold, and one that was deleted costs time, not correctness.
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
    """The vectors of some examples."""

    ids: NDArray[np.bytes_]
    """Example ids, ascending, shape (m,)."""
    vectors: NDArray[np.float32]
    """Shape (m, width); (0, 0) where none is known."""

    @property
    def width(self) -> int:
        """Dimensions of the vectors, 0 where none is known."""
        return int(self.vectors.shape[1])

    def places(self, ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Return the row of `vectors` for each id, -1 where it is not known."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[place] == ids, place, -1)


def as_bytes(ids: pa.ChunkedArray | pa.Array) -> NDArray[np.bytes_]:
    """Return example ids as fixed-width bytes, which sort and compare without Python objects."""
    return np.asarray(ids.to_numpy(zero_copy_only=False)).astype(np.bytes_)


def known_vectors(warehouse: Warehouse, plan: Recipe, ids: NDArray[np.bytes_]) -> KnownVectors:
    """Return the vectors of those of `ids` that earlier embeddings hold which `plan`'s encoder made.

    Memory: one vector for each id that is known.
    """
    wanted = np.unique(ids)
    taken = np.zeros(len(wanted), np.bool_)
    found_ids: list[NDArray[np.bytes_]] = []
    found: list[NDArray[np.float32]] = []
    for one in _same_encoder(warehouse, plan):
        for batch in warehouse.batches("embeddings", one.id):
            here = as_bytes(batch.column("example_id"))
            place = np.minimum(np.searchsorted(wanted, here), len(wanted) - 1)
            new = np.flatnonzero((wanted[place] == here) & ~taken[place])
            if len(new):
                vectors = batch.column("embedding").flatten().to_numpy().reshape(len(here), -1)
                found_ids.append(here[new])
                found.append(vectors[new])
                taken[place[new]] = True
        if taken.all():
            break
    if not found:
        return KnownVectors(np.empty(0, wanted.dtype), np.empty((0, 0), np.float32))
    together = np.concatenate(found_ids)
    order = np.argsort(together)
    return KnownVectors(together[order], np.concatenate(found)[order])


def _same_encoder(warehouse: Warehouse, plan: Recipe) -> list[Manifest]:
    """Return the embeddings that the encoder of `plan` made, newest first."""
    return [
        one
        for one in warehouse.list("embeddings")
        if (one.version, one.settings.get("dtype")) == (plan.version, plan.settings["dtype"])
        and one.inputs.get("encoder") == plan.inputs["encoder"]
    ]
