"""Embeddings stage: the prompt of every example → a unit vector; only prompts without a stored vector are encoded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.engine import open_parts
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.reuse.vectors import KnownVectors, as_bytes, known_vectors
from curate.schemas.embeddings import embeddings_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from numpy.typing import NDArray

    from curate.engines.workers.process import IndexedBatch
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 3


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str) -> Recipe:
    """Return the recipe of the embeddings: the corpus and the encoder's files."""
    from curate.engines.embed.encoders import encoder_files

    files = encoder_files(settings.embed.encoder)
    inputs = {"corpus": corpus_id, "encoder": warehouse.digests.files(files)}
    how = {"encoder": settings.embed.encoder, "dtype": settings.embed.encoder_dtype}
    return Recipe("embeddings", VERSION, inputs, how, {"device": settings.embed.device})


def embed(warehouse: Warehouse, settings: Settings, corpus_id: str) -> str:
    """Embed the prompts of the corpus that no earlier embeddings contain, and return the embeddings id."""
    plan = recipe(warehouse, settings, corpus_id)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        ids = as_bytes(warehouse.read("corpus", corpus_id, columns=["example_id"])["example_id"])
        known = known_vectors(warehouse, plan, ids)
        n_known = int((known.rows(ids) >= 0).sum())
        if n_known:
            progress.note(f"embed: {n_known:,} of {len(ids):,} prompts were embedded before, for an earlier corpus")
        with progress.stage("embed", len(ids), builder.rows("part")) as advance:
            facts, worker_memory = _Vectors(warehouse, settings, corpus_id, known, advance).write(builder)
        facts |= {"encoder": settings.embed.encoder, "n_known": n_known, "n_embedded": len(ids) - n_known}
        builder.finish(facts, worker_memory)
    return plan.id


@dataclass(frozen=True, eq=False)
class _Vectors:
    """Computes and writes the vectors of a corpus part by part; the encoder is loaded if a prompt is unknown."""

    warehouse: Warehouse
    settings: Settings
    corpus_id: str
    known: KnownVectors
    advance: Callable[[int], None]

    def write(self, builder: Builder) -> tuple[dict[str, Any], int]:
        """Write the parts that are not finished.

        Returns
        -------
        (dict, int)
            Width of the vectors and facts about workers for the manifest, and the peak memory of the workers in bytes.
        """
        new = self._write_known(builder)
        if not new and self.known.width:
            return {"width": self.known.width}, 0
        from curate.engines.embed.task import EmbeddingTask

        options = self.settings.embed
        task = EmbeddingTask(options.encoder, options.encoder_dtype, self.settings.trust_remote_code)
        with open_parts(self.settings, task, len(new), options.device) as pool:
            for index, fresh in pool.run(self._unknown(new), self.advance):
                part = self._completed(self._rows[index], fresh)
                builder.write("part", index, part, part.schema)
                self.advance(len(part) - len(fresh))
            workers = pool.worker_summaries()
            return {"width": pool.facts["width"], **({"workers": workers} if workers else {})}, pool.peak_memory

    @cached_property
    def _rows(self) -> list[tuple[pa.Array, NDArray[np.int64]]]:
        """Example ids of every part, and the rows of their known vectors; -1 for an unknown one."""
        batches = self.warehouse.batches("corpus", self.corpus_id, columns=["example_id"])
        ids = [batch.column("example_id") for batch in batches]
        return [(part, self.known.rows(as_bytes(part))) for part in ids]

    def _write_known(self, builder: Builder) -> set[int]:
        """Write the parts without an unknown prompt; return the numbers of the others that are not finished."""
        todo = [index for index in range(len(self._rows)) if not builder.has("part", index)]
        new = {index for index in todo if (self._rows[index][1] < 0).any()}
        for index in sorted(set(todo) - new):
            part = self._completed(self._rows[index], None)
            builder.write("part", index, part, part.schema)
            self.advance(len(part))
        return new

    def _unknown(self, wanted: Container[int]) -> Iterator[IndexedBatch]:
        """Yield the number and the unknown prompts of the wanted parts."""
        batches = self.warehouse.batches("corpus", self.corpus_id, columns=["example_id", "prompt"])
        for index, batch in enumerate(batches):
            if index in wanted:
                unknown = np.flatnonzero(self._rows[index][1] < 0)
                yield index, batch if len(unknown) == len(batch) else batch.take(pa.array(unknown))

    def _completed(self, part: tuple[pa.Array, NDArray[np.int64]], fresh: pa.RecordBatch | None) -> pa.RecordBatch:
        """Return the embeddings of one part from the known vectors and those of its unknown prompts."""
        ids, rows = part
        if fresh is not None and len(fresh) == len(ids):
            return fresh
        # Rows with -1 take an arbitrary known vector here and are overwritten below.
        vectors = self.known.vectors[rows]
        if fresh is not None:
            unknown = np.flatnonzero(rows < 0)
            vectors[unknown] = fresh.column("embedding").flatten().to_numpy().reshape(len(unknown), -1)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self.known.width)
        return pa.RecordBatch.from_arrays([ids, lists], schema=embeddings_schema(self.known.width))
