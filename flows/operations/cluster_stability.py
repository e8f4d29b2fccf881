"""``curate cluster --stability``: sensitivity of labels and selection to seed, number of clusters and precision.

The corpus is clustered again with other seeds, with one and two clusters fewer and more, and with vectors of the
encoder's other precision; only those vectors are stored as an artefact. Each variation costs a clustering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows import progress, stages
from curate.flows.session import session
from curate.flows.stages.reuse.clusters import read_vectors
from curate.flows.stages.selecting.pool import Upstream, read_pool
from curate.flows.stages.selecting.request import parse_request
from curate.flows.stages.selection import select_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

SEEDS = 2
"""Number of other seeds."""

CLUSTERS = (-2, -1, 1, 2)
"""Changes of the number of clusters."""


def stability(settings: Settings) -> dict[str, Any]:
    """Return the agreement of each variation with the clusters in use.

    Returns
    -------
    dict
        ``clusters`` (the artefact's id), ``n_clusters``, ``scores`` and ``method`` of the selection or None without
        scores, and ``variations``: one dict each of ``variation``, ``n_clusters``, ``ari`` (adjusted Rand index of the
        labels) and ``selection_jaccard`` (of the rows that the method keeps; None without scores, and where pilots of
        each cluster divide the budget, since other labels have no pilots).
    """
    with session("stability", settings) as run:
        warehouse, settings = run.warehouse, run.settings
        corpus = run.call(stages.ingest, warehouse, settings)
        embeddings = run.call(stages.embed, warehouse, settings, corpus)
        clusters = run.call(stages.cluster, warehouse, settings, corpus, embeddings)
        labels = warehouse.read("clusters", clusters, columns=["cluster"])["cluster"].to_numpy()
        scores = next((one.id for one in warehouse.list("scores") if one.inputs.get("corpus") == corpus), None)
        kept = _kept(warehouse, settings, Upstream(corpus, None, clusters, scores), labels)
        rows: list[dict[str, Any]] = []
        with progress.stage("stability", (1 + SEEDS + len(CLUSTERS)) * len(labels)) as advance:
            for name, other in _variations(warehouse, settings, corpus, embeddings, int(labels.max()) + 1):
                others_kept = _kept(warehouse, settings, Upstream(corpus, None, clusters, scores), other)
                rows.append(_compared(name, labels, other, kept, others_kept))
                advance(len(labels))
    method = settings.select.method if scores else None
    return {
        "clusters": clusters,
        "n_clusters": int(labels.max()) + 1,
        "scores": scores,
        "method": method,
        "variations": rows,
    }


def _variations(
    warehouse: Warehouse, settings: Settings, corpus: str, embeddings: str, n_clusters: int
) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """Yield the name and the labels of each variation."""
    from curate.selectors.clustering.cluster import ClusteringSettings, cluster

    ids = warehouse.read("corpus", corpus, columns=["example_id"])["example_id"]
    options = settings.cluster

    def labelled(vectors: NDArray[np.float32], k: int, seed: int) -> NDArray[np.int32]:
        how = ClusteringSettings(n_clusters=k, n_neighbours=options.n_neighbours, bandwidth=options.bandwidth)
        return cluster(vectors, how, seed=seed).labels

    vectors = read_vectors(warehouse, embeddings, ids)
    for step in range(1, SEEDS + 1):
        yield f"seed {settings.seed + step}", labelled(vectors, n_clusters, settings.seed + step)
    for k in (n_clusters + change for change in CLUSTERS if n_clusters + change >= 1):
        yield f"{k} clusters", labelled(vectors, k, settings.seed)
    other = "bfloat16" if settings.embed.encoder_dtype == "float32" else "float32"
    changed = settings.model_copy(update={"embed": settings.embed.model_copy(update={"encoder_dtype": other})})
    vectors = read_vectors(warehouse, stages.embed(warehouse, changed, corpus), ids)
    yield f"encoder in {other}", labelled(vectors, n_clusters, settings.seed)


def _kept(
    warehouse: Warehouse, settings: Settings, upstream: Upstream, labels: NDArray[np.int32]
) -> NDArray[np.bool_] | None:
    """Return the mask of rows that the method keeps with these labels; None without scores, or if it needs pilots."""
    from dataclasses import replace

    request = parse_request(settings)
    if upstream.scores is None or "pilots" in request.nouns:
        return None
    pool = replace(read_pool(warehouse, upstream, settings, request.needs, request.options), cluster=labels)
    decision = select_rows(warehouse, request, upstream.corpus, pool)
    kept = np.zeros(len(pool), np.bool_)
    kept[decision.order] = True
    return kept


def _compared(
    name: str,
    labels: NDArray[np.int32],
    other: NDArray[np.int32],
    kept: NDArray[np.bool_] | None,
    others_kept: NDArray[np.bool_] | None,
) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score

    from curate.selectors.assessment.overlap import overlap

    jaccard = None if kept is None or others_kept is None else overlap(kept, others_kept)["jaccard"]
    ari = float(adjusted_rand_score(labels, other))
    return {"variation": name, "n_clusters": int(other.max()) + 1, "ari": ari, "selection_jaccard": jaccard}
