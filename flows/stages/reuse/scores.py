"""Reuse of scores: of a grown corpus only rows that were not scored before, with these models and settings, are scored.

Earlier scores artefacts are the cache. A row's id is the digest of its conversation, so equal ids mean equal scores, up
to the rounding error of another batch (about 1e-6 relative).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.schemas.scores import SCORES

if TYPE_CHECKING:
    from curate.flows.stages.recipe import Recipe
    from curate.schemas.artefacts import Manifest
    from curate.storage.warehouse.warehouse import Warehouse


def earlier(warehouse: Warehouse, plan: Recipe) -> list[Manifest]:
    """Return the scores artefacts that differ from `plan` only in the corpus, in order of their ids.

    Those with sketches serve a plan without them. A plan with sketches computes every row: at 8 KB a row, those of a
    large corpus are not read into memory to be written again.
    """
    if "sketch" in plan.settings:
        return []

    def causes(inputs: dict[str, str]) -> dict[str, str]:
        return {role: value for role, value in inputs.items() if role != "corpus"}

    def plain(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if name != "sketch"}

    matches = [
        one
        for one in warehouse.list_readable("scores")
        if (one.version, plain(one.settings), causes(one.inputs)) == (plan.version, plan.settings, causes(plan.inputs))
    ]
    # Where several contain a row the first one's scores are used: the order must not depend on when they were created.
    return sorted(matches, key=lambda one: one.id)


class KnownScores:
    """The rows of earlier scores artefacts, each example once.

    Parameters
    ----------
    tables : dict of str to pa.Table
        By artefact id, schema `SCORES`; an example's scores are those of the first table that contains it. Tables of
        an earlier version, which lack a column, are left out: its values cannot be told without the models.
    """

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        tables = {name: one for name, one in tables.items() if set(SCORES.names) <= set(one.column_names)}
        self.sources = list(tables)
        """Ids of the artefacts."""
        rows = pa.concat_tables([SCORES.empty_table(), *(one.select(SCORES.names) for one in tables.values())])
        ids = rows.column("example_id").to_numpy(zero_copy_only=False).astype(str)
        _, first_rows = np.unique(ids, return_index=True)
        self._table = rows.take(pa.array(np.sort(first_rows))).combine_chunks()

    def count(self, ids: pa.Array | pa.ChunkedArray) -> int:
        """Return how many of `ids` are known."""
        return int(pc.sum(pc.is_in(ids, value_set=self._ids())).as_py() or 0)

    def new(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch without the known rows."""
        return batch.filter(pc.invert(pc.is_in(batch.column("example_id"), value_set=self._ids())))

    def complete(self, ids: pa.Array, scored: pa.RecordBatch | None = None) -> pa.Table:
        """Return the scores of `ids`, in their order; `scored` contains those that are not known."""
        both = pa.concat_tables([self._table, *([] if scored is None else [pa.Table.from_batches([scored])])])
        return both.take(pc.index_in(ids, value_set=both.column("example_id").combine_chunks()))

    def _ids(self) -> pa.Array:
        return self._table.column("example_id").combine_chunks()
