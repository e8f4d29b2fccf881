"""Clusters: vectors and text → labels, a map, telling terms and concepts (PASER §3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.schemas.clusters import CLUSTERS, CONCEPTS, CURVE, TERMS

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse import Warehouse

VERSION = 2


def recipe(settings: Settings, corpus_id: str, embeddings_id: str) -> Recipe:
    """Return what the clusters are made of."""
    inputs = {"corpus": corpus_id, "embeddings": embeddings_id}
    return Recipe("clusters", VERSION, inputs, {**settings.cluster.model_dump(), "seed": settings.seed})


def cluster(warehouse: Warehouse, settings: Settings, corpus_id: str, embeddings_id: str) -> str:
    """Cluster the corpus, describe each cluster, extract concepts, and return the clusters id."""
    plan = recipe(settings, corpus_id, embeddings_id)
    if plan.is_made(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        from curate.selectors.cluster_map import cluster_map
        from curate.selectors.clustering import ClusteringSettings
        from curate.selectors.clustering import cluster as find_clusters
        from curate.selectors.concepts import extract
        from curate.selectors.terms import cluster_terms

        corpus = warehouse.read("corpus", corpus_id, columns=["example_id", "prompt"])
        vectors = warehouse.read("embeddings", embeddings_id, columns=["embedding"])["embedding"].combine_chunks()
        embeddings = vectors.flatten().to_numpy().reshape(len(corpus), -1)
        prompts = corpus["prompt"].to_pylist()
        how = settings.cluster
        with progress.stage("cluster", len(corpus)) as advance:
            found = find_clusters(
                embeddings,
                ClusteringSettings(n_clusters=how.n_clusters, n_neighbours=how.n_neighbours, bandwidth=how.bandwidth),
                seed=settings.seed,
            )
            places = cluster_map(embeddings, found.labels)
            terms = cluster_terms(prompts, found.labels, how.n_terms)
            concepts = extract(prompts)
            sizes = np.bincount(found.labels, minlength=len(terms))
            builder.write(
                "terms",
                0,
                pa.table({"cluster": np.arange(len(terms)), "size": sizes, "terms": terms}, schema=TERMS),
                TERMS,
            )
            phrases = {"concept": np.arange(len(concepts.phrases)), "phrase": list(concepts.phrases)}
            builder.write("concepts", 0, pa.table(phrases, schema=CONCEPTS), CONCEPTS)
            builder.write("curve", 0, pa.Table.from_pylist([vars(point) for point in found.curve], schema=CURVE), CURVE)
            builder.write(
                "part",
                0,
                pa.table(
                    {
                        "example_id": corpus["example_id"],
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
                CLUSTERS,
            )
            advance(len(corpus))
        builder.finish({"n_clusters": len(terms), **found.facts})
    return plan.id
