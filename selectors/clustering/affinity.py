"""Builds the sparse symmetric affinity of rows from their nearest neighbours.

w_ij = exp(−d_ij² / (σ_i σ_j)) with d the cosine distance, symmetrised by the maximum.

Source: PASER, arXiv 2502.12594 §3.1. Departure: the paper uses one σ for all rows; here σ_i is local by default
(self-tuning, Zelnik-Manor & Perona 2004). Memory is O(n·k), never n × n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy import sparse

from curate.schemas.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

Bandwidth = Literal["self-tuning", "median"]

SCALE_NEIGHBOUR = 7
"""Rank of the neighbour whose distance is a row's scale (Zelnik-Manor & Perona 2004, §2.2, who use 7 throughout)."""

SCALE_FLOOR = 1e-6
"""Smallest scale, in cosine distance: below it float32 cannot distinguish two directions."""

NEGLIGIBLE = 1e-12
"""Affinities below this are dropped: numerically they link nothing, but would hide that the graph is disconnected."""


def scales(distances: NDArray[np.floating[Any]], bandwidth: Bandwidth = "self-tuning") -> NDArray[np.float64]:
    """Return the scale σ_i of every row, in cosine distance.

    Parameters
    ----------
    distances : ndarray of shape (n, k)
        Ascending distances to the nearest neighbours; if k < 7, the last one counts.
    bandwidth : {"self-tuning", "median"}
        The distance to the row's own 7th neighbour, or one σ for all: the median of all the distances (PASER §3.1).

    Returns
    -------
    ndarray of shape (n,), float64, at least 1e-6
    """
    if bandwidth not in get_args(Bandwidth):
        raise UsageError(f"unknown bandwidth {bandwidth!r}{did_you_mean(bandwidth, get_args(Bandwidth))}")
    n, k = distances.shape
    # The floor keeps rows whose neighbours are all copies from dividing by zero.
    if k == 0:
        return np.full(n, SCALE_FLOOR)
    if bandwidth == "median":
        return np.full(n, max(float(np.median(distances)), SCALE_FLOOR))
    return np.maximum(distances[:, min(SCALE_NEIGHBOUR, k) - 1].astype(np.float64), SCALE_FLOOR)


def affinity(
    indices: NDArray[np.int32], distances: NDArray[np.float32], bandwidth: Bandwidth = "self-tuning"
) -> sparse.csr_array:
    """Return w_ij = exp(−d_ij² / (σ_i σ_j)) over the neighbour lists, symmetrised by the maximum.

    Self-tuning scales are those of Zelnik-Manor & Perona (2004, eq. 1); ``bandwidth="median"`` gives PASER's single σ.

    Parameters
    ----------
    indices, distances : ndarray of shape (n, k)
        As `curate.selectors.neighbours.exact.neighbours` returns them.
    bandwidth : {"self-tuning", "median"}

    Returns
    -------
    csr_array of shape (n, n), float64
        Symmetric, entries in (1e-12, 1], empty diagonal, sorted indices. Rows without a neighbour above that are empty.
    """
    n, k = indices.shape
    sigma = scales(distances, bandwidth)
    squared = distances.astype(np.float64) ** 2
    weights = np.exp(-squared / (sigma[:, None] * sigma[indices]))
    weights[weights < NEGLIGIBLE] = 0
    starts = np.arange(n + 1, dtype=np.int32) * np.int32(k)
    directed: Any = sparse.csr_array((weights.ravel(), indices.ravel(), starts), shape=(n, n))
    directed.eliminate_zeros()
    # The maximum, not the mean: a pair in which only one row lists the other is as close as its distance says.
    symmetric = directed.maximum(directed.T).tocsr()
    symmetric.sort_indices()
    return symmetric
