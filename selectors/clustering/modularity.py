"""Chooses the number of clusters: the one whose clusters best predict held-out edges of the graph.

Q(K) = (held-out weight inside clusters) / (held-out weight) − Σ_c (training degree share of c)², averaged over splits;
K* = arg max Q. The second term is what chance predicts for the first.

Source: modularity of Newman & Girvan 2004, eq. 5, on held-out edges (ours). Departs from PASER, arXiv 2502.12594 §3.1,
which minimises the factorisation's error: that falls as K grows, on fitted and on held-out entries alike, so it cannot
choose. Held-out modularity has a maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from curate.selectors.clustering.diffusion import diffusion_operator, leading_eigenpairs
from curate.selectors.clustering.nmf import relabel_by_size, spectral_nmf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPLITS = 5
"""Number of splits into training and held-out edges."""
HELD_OUT = 0.2
"""Share of the undirected edges that is held out in each split."""

GRID = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 26, 32, 40)
"""Numbers of clusters tried first; integers around the best one are tried next."""

ROWS_PER_CLUSTER = 5
"""Smallest mean number of rows per cluster that is tried."""


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


def choose_n_clusters(affinity: sparse.csr_array, seed: int) -> tuple[int, tuple[ModularityPoint, ...]]:
    """Return the number of clusters with the highest mean held-out modularity, and the curve.

    One cluster has modularity 0 by definition and is chosen if no number does better. Ties go to the smaller number.

    Parameters
    ----------
    affinity : csr_array of shape (n, n)
        Symmetric, empty diagonal.
    seed : int

    Returns
    -------
    n_clusters : int
    curve : tuple of CurvePoint
        One point per number tried, ascending; empty if the graph has too few edges or rows to try any.
    """
    rows, columns, weights = _edges(affinity)
    grid = [k for k in GRID if k * ROWS_PER_CLUSTER <= affinity.shape[0]]
    if not grid or round(HELD_OUT * len(rows)) < 1:
        return 1, ()
    splits = [
        hold_out(affinity.shape[0], rows, columns, weights, grid[-1], seed=seed + place) for place in range(SPLITS)
    ]
    # The eigenvectors of a split serve every K, so trying one costs a k-means and a few updates of the factor.
    curve = {k: evaluate(splits, k) for k in grid}
    for k in _neighbouring(grid, _best(curve)):
        curve[k] = evaluate(splits, k)
    best = _best(curve)
    points = tuple(curve[k] for k in sorted(curve))
    return (best if curve[best].modularity > 0 else 1), points


def hold_out(
    n: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.float64],
    n_vectors: int,
    *,
    seed: int,
) -> EdgeSplit:
    """Hold out a seeded 20 % of the edges and build degrees, operator and eigenvectors from the others.

    Parameters
    ----------
    n : int
        Rows of the graph.
    rows, columns, weights : ndarray of shape (n_edges,)
        Each undirected edge once.
    n_vectors : int
        Number of eigenvectors: the largest number of clusters to try.
    seed : int
    """
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    cut = round(HELD_OUT * len(rows))
    # Sorted, so that sums over edges do not depend on the order of the permutation.
    out, kept = np.sort(shuffled[:cut]), np.sort(shuffled[cut:])
    upper = sparse.coo_array((weights[kept], (rows[kept], columns[kept])), shape=(n, n))
    training = (upper + upper.T).tocsr()
    op = diffusion_operator(training)
    degrees = np.asarray(training.sum(axis=1)).ravel()
    share = degrees / max(float(degrees.sum()), np.finfo(np.float64).tiny)
    vectors = leading_eigenpairs(op, n_vectors, seed).vectors
    return EdgeSplit(op.matrix, vectors, share, (rows[out], columns[out], weights[out]), seed)


def evaluate(splits: Sequence[EdgeSplit], k: int) -> ModularityPoint:
    """Return the scores of `k` clusters: every split is clustered and scored by its held-out edges."""
    labels = [_labels(split, k) for split in splits]
    scores = [heldout_modularity(own, split) for own, split in zip(labels, splits, strict=True)]
    agreement = [adjusted_rand_score(a, b) for a, b in combinations(labels, 2)]
    return ModularityPoint(k, float(np.mean(scores)), float(np.std(scores)), float(np.mean(agreement)))


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
    factor = spectral_nmf(split.matrix, split.vectors, k, split.seed)
    return relabel_by_size(factor.matrix.argmax(axis=1).astype(np.int32))[0]


def _edges(affinity: sparse.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return each undirected edge once, ordered by row."""
    upper = sparse.triu(affinity, k=1, format="coo")
    return upper.row.astype(np.int64), upper.col.astype(np.int64), upper.data


def _best(curve: dict[int, ModularityPoint]) -> int:
    """Return the number with the highest mean modularity, ties to the smaller one."""
    return max(sorted(curve), key=lambda k: curve[k].modularity)


def _neighbouring(grid: Sequence[int], best: int) -> list[int]:
    """Return the integers between the best of the grid and the next one on either side, at most four per side."""
    place = grid.index(best)
    low = grid[place - 1] if place else best
    high = grid[place + 1] if place + 1 < len(grid) else best
    between = [*range(max(low + 1, best - 4), best), *range(best + 1, min(high, best + 5))]
    return between
