"""Embeddings: the prompt of every example → a unit vector."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.schemas.embeddings import embeddings_schema

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse import Warehouse

VERSION = 1


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str) -> Recipe:
    """Return what the embeddings are made of: the corpus and the encoder's files."""
    from curate.engines.encoders import encoder_files

    files = encoder_files(settings.embed.encoder)
    inputs = {"corpus": corpus_id, "encoder": warehouse.digests.files(files)}
    return Recipe("embeddings", VERSION, inputs, {"encoder": settings.embed.encoder}, {"device": settings.embed.device})


def embed(warehouse: Warehouse, settings: Settings, corpus_id: str) -> str:
    """Embed every prompt of the corpus and return the embeddings id."""
    plan = recipe(warehouse, settings, corpus_id)
    if plan.is_made(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        from curate.engines.encode import encode, load_encoder

        corpus = warehouse.manifest("corpus", corpus_id)
        finished = builder.finished()
        batches = warehouse.batches("corpus", corpus_id, columns=["example_id", "prompt"])
        done = builder.rows("part")
        encoder = load_encoder(
            settings.embed.encoder, device=settings.embed.device, trust_remote_code=settings.trust_remote_code
        )
        with progress.stage("embed", corpus.rows(), done) as advance:
            vectors = encode(islice(batches, finished, None), encoder, progress=advance)
            for index, batch in enumerate(vectors, start=finished):
                builder.write("part", index, batch, embeddings_schema(encoder.width))
        builder.finish({"width": encoder.width, "encoder": settings.embed.encoder})
    return plan.id
