"""Clusters: vectors and text → labels, a map, telling terms and concepts (PASER §3.1).

The clusters of a corpus that grew are those of the smaller one, to which the new rows are assigned; see
`curate.flows.stages.reuse.clusters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.reuse.clusters import BASE, encoder_of, find_base, grow, grown_before, read_vectors
from curate.schemas.clusters import CLUSTERS, CONCEPTS, CURVE, LANDMARKS, TERMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.settings import Settings
    from curate.selectors.clustering.cluster import Clustering
    from curate.selectors.text.concepts import Concepts
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 3

SCHEMAS = {"terms": TERMS, "concepts": CONCEPTS, "curve": CURVE, "landmarks": LANDMARKS, "part": CLUSTERS}


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str, embeddings_id: str) -> Recipe:
    """Return what the clusters are made of: corpus and embeddings, and the earlier clusters that grow, if any.

    A fit of this very corpus goes before clusters that grew into it, and these before any that might; with ``refit``
    only a fit will do.
    """
    inputs = {"corpus": corpus_id, "embeddings": embeddings_id}
    how = {**settings.cluster.model_dump(exclude={"refit"}), "seed": settings.seed}
    fresh = Recipe("clusters", VERSION, inputs, how)
    if settings.cluster.refit or fresh.is_made(warehouse):
        return fresh
    if grown := grown_before(warehouse, fresh):
        return Recipe("clusters", VERSION, grown.inputs, how)
    base = find_base(warehouse, fresh)
    return Recipe("clusters", VERSION, {**inputs, BASE: base.id}, how) if base else fresh


def cluster(warehouse: Warehouse, settings: Settings, corpus_id: str, embeddings_id: str) -> str:
    """Cluster the corpus, describe each cluster, extract concepts, and return the clusters id."""
    plan = recipe(warehouse, settings, corpus_id, embeddings_id)
    if plan.is_made(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        n = warehouse.manifest("corpus", corpus_id).rows()
        with progress.stage("cluster", n) as advance:
            tables, facts = grow(warehouse, plan) if BASE in plan.inputs else _fit(warehouse, plan)
            for name, schema in SCHEMAS.items():
                builder.write(name, 0, tables[name], schema)
            advance(n)
        for sentence in _told(facts, plan):
            progress.note(sentence)
        builder.finish({"n_clusters": len(tables["terms"]), **facts})
    return plan.id


def _fit(warehouse: Warehouse, plan: Recipe) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Return the tables of a new clustering by name, and its facts."""
    from curate.selectors.clustering.cluster import ClusteringSettings
    from curate.selectors.clustering.cluster import cluster as find_clusters
    from curate.selectors.clustering.map import cluster_map
    from curate.selectors.clustering.terms import cluster_terms
    from curate.selectors.text.concepts import extract

    corpus = warehouse.read("corpus", plan.inputs["corpus"], columns=["example_id", "prompt"])
    embeddings = read_vectors(warehouse, plan.inputs["embeddings"], corpus["example_id"])
    how = plan.settings
    chosen = ClusteringSettings(
        n_clusters=how["n_clusters"], n_neighbours=how["n_neighbours"], bandwidth=how["bandwidth"]
    )
    found = find_clusters(embeddings, chosen, seed=how["seed"])
    places = cluster_map(embeddings, found.labels)
    prompts = corpus["prompt"].to_pylist()
    terms = cluster_terms(prompts, found.labels, how["n_terms"])
    tables = _tables(corpus["example_id"], found, places, terms, extract(prompts))
    encoder = encoder_of(warehouse, plan.inputs["embeddings"])
    growth = {"n_fitted": len(corpus), "n_grown": 0, "n_grown_far": 0}
    return tables, {**found.facts, **growth, "radius": found.landmarks.radius, "encoder": encoder}


def _tables(
    example_id: pa.ChunkedArray,
    found: Clustering,
    places: NDArray[np.float32],
    terms: list[list[str]],
    concepts: Concepts,
) -> dict[str, pa.Table]:
    shares = found.landmarks.shares
    offsets = np.arange(len(shares) + 1, dtype=np.int32) * np.int32(shares.shape[1])
    return {
        "terms": pa.table(
            {
                "cluster": np.arange(len(terms)),
                "size": np.bincount(found.labels, minlength=len(terms)),
                "terms": terms,
            },
            schema=TERMS,
        ),
        "concepts": pa.table(
            {"concept": np.arange(len(concepts.phrases)), "phrase": list(concepts.phrases)}, schema=CONCEPTS
        ),
        "curve": pa.Table.from_pylist([vars(point) for point in found.curve], schema=CURVE),
        "landmarks": pa.table(
            {
                "example_id": example_id.take(pa.array(found.landmark_places)),
                "sigma": found.landmarks.sigma,
                "shares": pa.ListArray.from_arrays(offsets, shares.ravel()),
            },
            schema=LANDMARKS,
        ),
        "part": pa.table(
            {
                "example_id": example_id,
                "cluster": found.labels,
                "membership": found.membership,
                "map_x": places[:, 0],
                "map_y": places[:, 1],
                "diffusion_x": found.coordinates[:, 0],
                "diffusion_y": found.coordinates[:, 1],
                "concepts": pa.ListArray.from_arrays(concepts.offsets.astype(np.int32), concepts.values),
            },
            schema=CLUSTERS,
        ),
    }


def _told(facts: dict[str, Any], plan: Recipe) -> list[str]:
    """Return what a person should know of clusters that grew."""
    if BASE not in plan.inputs:
        return []
    told = [
        f"cluster: {facts['n_new']:,} new rows joined the clusters of {plan.inputs[BASE]}; old labels stay "
        "(--refit clusters anew)"
    ]
    if facts["drift"]["drifted"]:
        told.append(
            f"warning: drift: {facts['drift']['far_share']:.1%} of the {facts['n_grown']:,} rows added since the fit "
            "lie farther from every clustered row than 99 % of those from one another; run `curate cluster --refit`"
        )
    return told
