"""Scores a number of clusters by edges that the clusters were not fitted to, and by the silhouette of the rows.

Q(K) = (held-out weight inside clusters) / (held-out weight) − Σ_c (training degree share of c)², averaged over splits;
the second term is what chance predicts for the first.

Source: modularity of Newman & Girvan 2004, eq. 5; holding out edges is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score

from curate.selectors.clustering.diffusion import diffusion_operator, leading_eigenpairs
from curate.selectors.clustering.nmf import relabel_by_size, spectral_nmf
from curate.selectors.clustering.silhouette import silhouette

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SEARCH_STARTS = 4
"""Restarts of k-means for a number that is only tried: scores are means over splits, and change little."""

HELD_OUT = 0.2
"""Share of the undirected edges that is held out in each split."""


@dataclass(frozen=True)
class ModularityPoint:
    """Scores of one number of clusters."""

    k: int
    modularity: float
    """Mean held-out modularity over the splits, at most 1, larger = better; 0 for one cluster."""
    modularity_std: float
    """Standard deviation over the splits."""
    stability: float
    """Mean adjusted Rand index of the labels between pairs of splits, at most 1."""
    silhouette: float
    """Mean silhouette of the rows over the splits, in [−1, 1], larger = better."""


@dataclass(frozen=True)
class Edges:
    """The undirected edges of a graph, each once; all arrays have the shape (n_edges,)."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    weights: NDArray[np.float64]
    tree: NDArray[np.bool_]
    """True for the edges of a maximum spanning tree."""


@dataclass(frozen=True)
class EdgeSplit:
    """One split of the edges: the operator of the training edges, and the held-out edges."""

    matrix: sparse.csr_array
    vectors: NDArray[np.float64]
    degree_share: NDArray[np.float64]
    """Share of each row in the training graph's total degree, shape (n,)."""
    held_out: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
    """Rows, columns and weights of the held-out edges."""
    seed: int


def hold_out(n: int, edges: Edges, n_vectors: int, *, seed: int) -> EdgeSplit:
    """Hold out a seeded 20 % of the edges and build degrees, operator and eigenvectors from the others.

    The edges of a maximum spanning tree are never held out: cut-off rows would each take a leading eigenvector.

    Parameters
    ----------
    n : int
        Rows of the graph.
    edges : Edges
    n_vectors : int
        Number of eigenvectors: the largest number of clusters to try.
    seed : int
    """
    rows, columns, weights = edges.rows, edges.columns, edges.weights
    free = np.flatnonzero(~edges.tree)
    # Sorted, so that sums over edges do not depend on the order of the permutation.
    out = np.sort(np.random.default_rng(seed).permutation(free)[: n_held_out(edges)])
    kept = np.setdiff1d(np.arange(len(rows)), out, assume_unique=True)
    upper = sparse.coo_array((weights[kept], (rows[kept], columns[kept])), shape=(n, n))
    training = (upper + upper.T).tocsr()
    op = diffusion_operator(training)
    degrees = np.asarray(training.sum(axis=1)).ravel()
    share = degrees / max(float(degrees.sum()), np.finfo(np.float64).tiny)
    vectors = leading_eigenpairs(op, n_vectors, seed).vectors
    return EdgeSplit(op.matrix, vectors, share, (rows[out], columns[out], weights[out]), seed)


def evaluate(splits: Sequence[EdgeSplit], rows: NDArray[np.float32], k: int) -> ModularityPoint:
    """Return the scores of `k` clusters: every split is clustered and scored by its held-out edges and the rows."""
    labels = [_labels(split, k) for split in splits]
    scores = [heldout_modularity(own, split) for own, split in zip(labels, splits, strict=True)]
    agreement = [adjusted_rand_score(a, b) for a, b in combinations(labels, 2)]
    shape = float(np.mean([silhouette(rows, own) for own in labels]))
    return ModularityPoint(k, float(np.mean(scores)), float(np.std(scores)), float(np.mean(agreement)), shape)


def heldout_modularity(labels: NDArray[np.int32], split: EdgeSplit) -> float:
    """Return Q = (held-out weight inside clusters)/(held-out weight) − Σ_c (training degree share of c)².

    Newman & Girvan's modularity (2004, eq. 5) with the observed edges taken from the held-out part.
    """
    # In a random graph with the same degrees, an edge falls inside cluster c with probability (degree share of c)².
    # The shares come from the training edges: labels were fitted to these, so a bias towards them is not rewarded.
    rows, columns, weights = split.held_out
    inside = float(weights[labels[rows] == labels[columns]].sum())
    shares = np.bincount(labels, weights=split.degree_share)
    return inside / float(weights.sum()) - float(shares @ shares)


def _labels(split: EdgeSplit, k: int) -> NDArray[np.int32]:
    factor = spectral_nmf(split.matrix, split.vectors, k, split.seed, SEARCH_STARTS)
    return relabel_by_size(factor.matrix.argmax(axis=1).astype(np.int32))[0]


def undirected_edges(affinity: sparse.csr_array) -> Edges:
    """Return each undirected edge once, ordered by row."""
    upper = sparse.triu(affinity, k=1, format="csr")
    upper.sort_indices()
    listed = upper.tocoo()
    # The minimum tree of 1/w is the maximum tree of w, and 1/w is never 0, which would not count as an edge.
    inverse = sparse.csr_array((1 / upper.data, upper.indices, upper.indptr), shape=upper.shape)
    chosen = minimum_spanning_tree(inverse).tocoo()
    rows, columns = listed.row.astype(np.int64), listed.col.astype(np.int64)
    n = affinity.shape[0]
    tree = np.isin(rows * n + columns, chosen.row.astype(np.int64) * n + chosen.col)
    return Edges(rows, columns, listed.data, tree)


def n_held_out(edges: Edges) -> int:
    """Return a fifth of the edges, or as many as are free of the tree."""
    return min(round(HELD_OUT * len(edges.rows)), int((~edges.tree).sum()))
