"""Clusters stage: embeddings and text → labels, a map, top terms and concepts (PASER §3.1).

A corpus that grew keeps the clusters of the smaller one, and its new rows are assigned to them; see
`curate.flows.stages.reuse.clusters`.
"""

from __future__ import annotations

from dataclasses import replace
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

VERSION = 4

KEPT_VERSIONS = (VERSION, 3)
"""Versions whose clusters are used where a warehouse holds them, newest first: labels do not move with an upgrade.
Version 3 linked all of 15 nearest neighbours, and chose K by held-out modularity alone."""

SCHEMAS = {"terms": TERMS, "concepts": CONCEPTS, "curve": CURVE, "landmarks": LANDMARKS, "part": CLUSTERS}


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str, embeddings_id: str) -> Recipe:
    """Return the recipe of the clusters: corpus, embeddings, and the earlier clusters that are extended, if any.

    In this order of preference: an existing fit of this very corpus, clusters already extended to it, clusters that can
    be extended to it, each of this version before an earlier one; else a new fit. With ``refit`` only a fit of this
    version is used.
    """
    inputs = {"corpus": corpus_id, "embeddings": embeddings_id}
    how = {**settings.cluster.model_dump(exclude={"refit"}), "seed": settings.seed}
    fresh, *earlier = (Recipe("clusters", version, inputs, how) for version in KEPT_VERSIONS)
    if settings.cluster.refit:
        return fresh
    return next((one for fit in (fresh, *earlier) if (one := _known(warehouse, fit))), fresh)


def _known(warehouse: Warehouse, fit: Recipe) -> Recipe | None:
    """Return the recipe of clusters that need no fit: this one if it was made, or one that extends an earlier one."""
    if fit.exists_in(warehouse):
        return fit
    if grown := grown_before(warehouse, fit):
        return replace(fit, inputs=grown.inputs)
    base = find_base(warehouse, fit)
    return replace(fit, inputs={**fit.inputs, BASE: base.id}) if base else None


def cluster(warehouse: Warehouse, settings: Settings, corpus_id: str, embeddings_id: str) -> str:
    """Cluster the corpus, describe each cluster, extract concepts, and return the clusters id."""
    plan = recipe(warehouse, settings, corpus_id, embeddings_id)
    if plan.exists_in(warehouse):
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
        for message in _messages(facts, plan):
            progress.note(message)
        builder.finish({"n_clusters": len(tables["terms"]), **facts})
    return plan.id


def _fit(warehouse: Warehouse, plan: Recipe) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Return the tables of a new clustering by name, and the facts of its manifest."""
    from curate.selectors.clustering.cluster import ClusteringSettings
    from curate.selectors.clustering.cluster import cluster as find_clusters
    from curate.selectors.clustering.map import cluster_map
    from curate.selectors.clustering.terms import cluster_terms
    from curate.selectors.text.concepts import extract

    corpus = warehouse.read("corpus", plan.inputs["corpus"], columns=["example_id", "prompt"])
    embeddings = read_vectors(warehouse, plan.inputs["embeddings"], corpus["example_id"])
    how = plan.settings
    options = ClusteringSettings(
        n_clusters=how["n_clusters"], n_neighbours=how["n_neighbours"], bandwidth=how["bandwidth"]
    )
    clustering = find_clusters(embeddings, options, seed=how["seed"])
    places = cluster_map(embeddings, clustering.labels)
    prompts = corpus["prompt"].to_pylist()
    terms = cluster_terms(prompts, clustering.labels, how["n_terms"])
    tables = _tables(corpus["example_id"], clustering, places, terms, extract(prompts))
    encoder = encoder_of(warehouse, plan.inputs["embeddings"])
    growth = {"n_fitted": len(corpus), "n_grown": 0, "n_grown_far": 0}
    return tables, {**clustering.facts, **growth, "radius": clustering.landmarks.radius, "encoder": encoder}


def _tables(
    example_id: pa.ChunkedArray,
    clustering: Clustering,
    places: NDArray[np.float32],
    terms: list[list[str]],
    concepts: Concepts,
) -> dict[str, pa.Table]:
    shares = clustering.landmarks.shares
    offsets = np.arange(len(shares) + 1, dtype=np.int32) * np.int32(shares.shape[1])
    return {
        "terms": pa.table(
            {
                "cluster": np.arange(len(terms)),
                "size": np.bincount(clustering.labels, minlength=len(terms)),
                "terms": terms,
            },
            schema=TERMS,
        ),
        "concepts": pa.table(
            {"concept": np.arange(len(concepts.phrases)), "phrase": list(concepts.phrases)}, schema=CONCEPTS
        ),
        "curve": pa.Table.from_pylist([vars(point) for point in clustering.curve], schema=CURVE),
        "landmarks": pa.table(
            {
                "example_id": example_id.take(pa.array(clustering.landmark_places)),
                "sigma": clustering.landmarks.sigma,
                "shares": pa.ListArray.from_arrays(offsets, shares.ravel()),
            },
            schema=LANDMARKS,
        ),
        "part": pa.table(
            {
                "example_id": example_id,
                "cluster": clustering.labels,
                "membership": clustering.membership,
                "map_x": places[:, 0],
                "map_y": places[:, 1],
                "diffusion_x": clustering.coordinates[:, 0],
                "diffusion_y": clustering.coordinates[:, 1],
                "concepts": pa.ListArray.from_arrays(concepts.offsets.astype(np.int32), concepts.values),
            },
            schema=CLUSTERS,
        ),
    }


def _messages(facts: dict[str, Any], plan: Recipe) -> list[str]:
    """Return messages about extended clusters: the number of new rows, and a warning of drift."""
    if BASE not in plan.inputs:
        return []
    messages = [
        f"cluster: {facts['n_new']:,} new rows joined the clusters of {plan.inputs[BASE]}; existing labels are kept "
        "(--refit clusters all rows again)"
    ]
    if facts["drift"]["drifted"]:
        messages.append(
            f"warning: drift: {facts['drift']['far_share']:.1%} of the {facts['n_grown']:,} rows added since the fit "
            "are farther from every clustered row than 99 % of those are from each other; run `curate cluster --refit`"
        )
    return messages
