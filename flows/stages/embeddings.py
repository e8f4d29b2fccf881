"""Embeddings stage: the prompt of every example → a unit vector; only prompts without a stored vector are encoded."""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.reuse.vectors import KnownVectors, as_bytes, known_vectors
from curate.schemas.embeddings import embeddings_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.engines.embed.encode import Encoder
    from curate.schemas.settings import Settings
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
        vectors = _Vectors(settings, known)
        finished = builder.finished()
        batches = warehouse.batches("corpus", corpus_id, columns=["example_id", "prompt"])
        with progress.stage("embed", len(ids), builder.rows("part")) as advance:
            for index, batch in enumerate(islice(batches, finished, None), start=finished):
                builder.write("part", index, vectors.of(batch, advance), embeddings_schema(vectors.width))
        facts = {"width": vectors.width, "encoder": settings.embed.encoder}
        builder.finish(facts | {"n_known": n_known, "n_embedded": len(ids) - n_known})
    return plan.id


class _Vectors:
    """Computes the vectors of a corpus part by part; the encoder is loaded for the first unknown prompt."""

    def __init__(self, settings: Settings, known: KnownVectors) -> None:
        self._settings = settings
        self._known = known

    @property
    def width(self) -> int:
        return self._known.width or self._encoder.width

    @cached_property
    def _encoder(self) -> Encoder:
        from curate.engines.embed.encode import load_encoder

        options, trusted = self._settings.embed, self._settings.trust_remote_code
        return load_encoder(
            options.encoder, device=options.device, trust_remote_code=trusted, dtype=options.encoder_dtype
        )

    def of(self, batch: pa.RecordBatch, advance: Callable[[int], None]) -> pa.RecordBatch:
        """Return the embeddings of one part of the corpus."""
        from curate.engines.embed.encode import encode

        rows = self._known.rows(as_bytes(batch.column("example_id")))
        unknown = np.flatnonzero(rows < 0)
        if len(unknown) == len(batch):
            return next(encode([batch], self._encoder, advance))
        # Rows with -1 take an arbitrary known vector here and are overwritten below.
        vectors = self._known.vectors[rows]
        advance(len(batch) - len(unknown))
        if len(unknown):
            fresh = next(encode([batch.take(pa.array(unknown))], self._encoder, advance))
            vectors[unknown] = fresh.column("embedding").flatten().to_numpy().reshape(len(unknown), -1)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self.width)
        return pa.RecordBatch.from_arrays([batch.column("example_id"), lists], schema=embeddings_schema(self.width))
