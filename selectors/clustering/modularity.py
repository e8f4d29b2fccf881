"""How many clusters a graph supports: the number whose clusters best foretell edges that were held out.

The error of the factorisation cannot choose: it falls as the number grows, on fitted and on held-out entries alike.
Modularity on held-out edges turns over. Knows nothing of embeddings or texts.
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
HELD_OUT = 0.2
"""Share of the undirected edges that is held out in each split."""

GRID = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 26, 32, 40)
"""Numbers of clusters tried first; the integers next to the best are tried after."""

ROWS_PER_CLUSTER = 5
"""No more clusters are tried than leave this many rows for each on average."""


@dataclass(frozen=True)
class ModularityPoint:
    """What one number of clusters scored."""

    k: int
    modularity: float
    """Mean held-out modularity over the splits, at most 1, larger = better; 0 for one cluster."""
    modularity_std: float
    """Standard deviation over the splits."""
    stability: float
    """Mean adjusted Rand index of the labels between pairs of splits, at most 1."""


@dataclass(frozen=True)
class EdgeSplit:
    """One way of holding edges out: what is needed to label by the rest and to judge by the held out."""

    matrix: sparse.csr_array
    vectors: NDArray[np.float64]
    degree_share: NDArray[np.float64]
    """Share of the training graph's total degree that each row has, shape (n,)."""
    held_out: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
    """Rows, columns and weights of the held-out edges."""
    seed: int


def choose_n_clusters(affinity: sparse.csr_array, seed: int) -> tuple[int, tuple[ModularityPoint, ...]]:
    """Return the number of clusters with the highest mean held-out modularity, and the curve (METHODS §2.6).

    Departs from PASER §3.1, which minimises the factorisation's error. One cluster has modularity 0 by definition and
    wins where no number does better. Ties go to the smaller number.

    Parameters
    ----------
    affinity : csr_array of shape (n, n)
        Symmetric, empty diagonal.
    seed : int

    Returns
    -------
    n_clusters : int
    curve : tuple of CurvePoint
        One point for each number tried, ascending; empty where the graph has too few edges or rows to try any.
    """
    rows, columns, weights = _edges(affinity)
    grid = [k for k in GRID if k * ROWS_PER_CLUSTER <= affinity.shape[0]]
    if not grid or round(HELD_OUT * len(rows)) < 1:
        return 1, ()
    splits = [
        hold_out(affinity.shape[0], rows, columns, weights, grid[-1], seed=seed + place) for place in range(SPLITS)
    ]
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
    """Hold out a seeded 20 % of the edges and rebuild degrees, operator and eigenvectors from the rest.

    Parameters
    ----------
    n : int
        Rows of the graph.
    rows, columns, weights : ndarray of shape (n_edges,)
        Each undirected edge once.
    n_vectors : int
        Eigenvectors kept: the largest number of clusters to be tried.
    seed : int
    """
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    cut = round(HELD_OUT * len(rows))
    out, kept = np.sort(shuffled[:cut]), np.sort(shuffled[cut:])
    upper = sparse.coo_array((weights[kept], (rows[kept], columns[kept])), shape=(n, n))
    training = (upper + upper.T).tocsr()
    op = diffusion_operator(training)
    degrees = np.asarray(training.sum(axis=1)).ravel()
    share = degrees / max(float(degrees.sum()), np.finfo(np.float64).tiny)
    vectors = leading_eigenpairs(op, n_vectors, seed).vectors
    return EdgeSplit(op.matrix, vectors, share, (rows[out], columns[out], weights[out]), seed)


def evaluate(splits: Sequence[EdgeSplit], k: int) -> ModularityPoint:
    """Label every split with `k` clusters and score the labels by its held-out edges."""
    labels = [_labels(split, k) for split in splits]
    scores = [heldout_modularity(found, split) for found, split in zip(labels, splits, strict=True)]
    agreement = [adjusted_rand_score(a, b) for a, b in combinations(labels, 2)]
    return ModularityPoint(k, float(np.mean(scores)), float(np.std(scores)), float(np.mean(agreement)))


def heldout_modularity(labels: NDArray[np.int32], split: EdgeSplit) -> float:
    """Return Q = (held-out weight inside clusters)/(held-out weight) − Σ_c (training degree share of c)².

    Newman & Girvan's modularity (2004, eq. 5) with the observed edges taken from the held-out part.
    """
    rows, columns, weights = split.held_out
    inside = float(weights[labels[rows] == labels[columns]].sum())
    shares = np.bincount(labels, weights=split.degree_share)
    return inside / float(weights.sum()) - float(shares @ shares)


def _labels(split: EdgeSplit, k: int) -> NDArray[np.int32]:
    factor = spectral_nmf(split.matrix, split.vectors, k, split.seed)
    return relabel_by_size(factor.matrix.argmax(axis=1).astype(np.int32))[0]


def _edges(affinity: sparse.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Each undirected edge once, in the order of its rows."""
    upper = sparse.triu(affinity, k=1, format="coo")
    return upper.row.astype(np.int64), upper.col.astype(np.int64), upper.data


def _best(curve: dict[int, ModularityPoint]) -> int:
    return max(sorted(curve), key=lambda k: curve[k].modularity)


def _neighbouring(grid: Sequence[int], best: int) -> list[int]:
    """Integers strictly between the best of the grid and the next of the grid on either side, at most four a side."""
    place = grid.index(best)
    low = grid[place - 1] if place else best
    high = grid[place + 1] if place + 1 < len(grid) else best
    between = [*range(max(low + 1, best - 4), best), *range(best + 1, min(high, best + 5))]
    return between
