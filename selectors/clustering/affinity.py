"""Builds the sparse symmetric affinity of rows from their nearest neighbours.

w_ij = exp(−d_ij² / (σ_i σ_j)) with d the cosine distance, where i and j are among each other's nearest, or one of them
is among the very nearest of the other.

Source: PASER, arXiv 2502.12594 §3.1. Departures: the paper uses one σ for all rows; here σ_i is local by default
(self-tuning, Zelnik-Manor & Perona 2004). Neighbours are mutual (von Luxburg 2007, §2.2): a row near many groups is in
few of their lists, so groups of unlike density are not bridged. Memory is O(n·k), never n × n.
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
"""Rank of the neighbour whose distance is the scale of an assigned row (Zelnik-Manor & Perona 2004, §2.2, use 7)."""

SCALE_FLOOR = 1e-6
"""Smallest scale, in cosine distance: below it float32 cannot distinguish two directions."""

NEAREST_KEPT = 3
"""Nearest neighbours that a row keeps without being in their lists: outliers stay attached to what is around them."""

NEGLIGIBLE = 1e-12
"""Affinities below this are dropped: numerically they link nothing, but would hide that the graph is disconnected."""


def scales(
    distances: NDArray[np.floating[Any]], bandwidth: Bandwidth = "self-tuning", rank: int = SCALE_NEIGHBOUR
) -> NDArray[np.float64]:
    """Return the scale σ_i of every row, in cosine distance.

    Parameters
    ----------
    distances : ndarray of shape (n, k)
        Ascending distances to the nearest neighbours; if k < `rank`, the last one counts.
    bandwidth : {"self-tuning", "median"}
        The distance to the row's own neighbour of that rank, or one σ for all: the median of all the distances (PASER
        §3.1).
    rank : int
        At least 1.

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
    return np.maximum(distances[:, min(rank, k) - 1].astype(np.float64), SCALE_FLOOR)


def affinity(
    indices: NDArray[np.int32], distances: NDArray[np.float32], bandwidth: Bandwidth = "self-tuning"
) -> sparse.csr_array:
    """Return w_ij = exp(−d_ij² / (σ_i σ_j)) over mutual neighbours and the three nearest ones of every row.

    Self-tuning scales are those of Zelnik-Manor & Perona (2004, eq. 1) at the last neighbour of the list: at the 7th of
    60, farther links of dense themes vanish and the graph falls apart. ``bandwidth="median"`` gives PASER's single σ.

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
    sigma = scales(distances, bandwidth, k)
    squared = distances.astype(np.float64) ** 2
    weights = np.exp(-squared / (sigma[:, None] * sigma[indices]))
    weights[weights < NEGLIGIBLE] = 0
    listed, near = _directed(weights, indices, k), _directed(weights, indices, NEAREST_KEPT)
    symmetric = listed.minimum(listed.T).maximum(near).maximum(near.T).tocsr()
    # `minimum` leaves explicit zeros, which connected_components would take for links.
    symmetric.eliminate_zeros()
    symmetric.sort_indices()
    return symmetric


def _directed(weights: NDArray[np.float64], indices: NDArray[np.int32], most: int) -> Any:
    """Return the matrix of the first `most` entries of every list."""
    n, k = len(indices), min(most, indices.shape[1])
    starts = np.arange(n + 1, dtype=np.int32) * np.int32(k)
    # Copies, because eliminate_zeros compacts the arrays that the matrix holds in place.
    entries = weights[:, :k].flatten(), indices[:, :k].flatten(), starts
    matrix: Any = sparse.csr_array(entries, shape=(n, n))
    matrix.eliminate_zeros()
    return matrix
