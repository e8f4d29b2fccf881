"""Assigns rows to existing clusters by their nearest landmarks, without clustering them.

membership_i = Σ_j w_ij · membership_j / Σ_j w_ij over the nearest landmarks j, w the affinity. Used for rows beyond the
exact limit and for new rows of a grown corpus, so that existing labels never change.

Source: the Nyström extension (Fowlkes et al. 2004), with the affinity of the clustering and only the nearest landmarks;
PASER (arXiv 2502.12594 §3.1) clusters all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import bdtrc

from curate.selectors.clustering.affinity import Bandwidth, scales
from curate.selectors.neighbours.exact import BLOCK, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.neighbours.compressed_index import CompressedIndex

FAR_PERCENTILE = 99.0
"""A row is far if its distance to the nearest landmark exceeds this percentile of the landmarks' nearest distances."""

DRIFT_SHARE = 0.02
"""Smallest share of far rows that counts as drift: twice what is expected without drift."""

DRIFT_P = 1e-3
"""p-value below which a share of far rows is significant."""

FARTHEST = 2.0
"""Largest possible cosine distance."""


@dataclass(frozen=True)
class Landmarks:
    """Rows whose memberships are known."""

    rows: NDArray[np.float32]
    """Unit rows, shape (m, width)."""
    sigma: NDArray[np.float64]
    """Scale of each landmark in cosine distance, shape (m,)."""
    shares: NDArray[np.float64]
    """Memberships, shape (m, K), rows summing to 1."""
    coordinates: NDArray[np.float32]
    """Map coordinates, shape (m, 2)."""
    radius: float
    """Cosine distance to the nearest landmark beyond which a row is far."""


@dataclass(frozen=True)
class Assigned:
    """Clusters and map coordinates of the assigned rows."""

    labels: NDArray[np.int32]
    """Shape (n,), a column of the landmarks' shares."""
    membership: NDArray[np.float32]
    """Shape (n,), weighted share of the neighbours in that cluster, in (0, 1]."""
    coordinates: NDArray[np.float32]
    """Shape (n, 2), weighted mean of the neighbours' coordinates."""
    far: NDArray[np.bool_]
    """Shape (n,), True where the nearest landmark is farther than the landmarks' radius; see `drift`."""


def radius(nearest_distances: NDArray[np.floating[Any]]) -> float:
    """Return the 99th percentile of the landmarks' distances to their nearest neighbours; 2 where there are none."""
    return float(np.percentile(nearest_distances, FAR_PERCENTILE)) if len(nearest_distances) else FARTHEST


def drift(n_far: int, n: int) -> dict[str, float | bool]:
    """Test whether assigned rows come from another distribution than the landmarks: more than 1 % of them are far.

    Parameters
    ----------
    n_far, n : int
        Number of far rows (`Assigned.far`), and of all assigned rows.

    Returns
    -------
    dict
        ``far_share``; ``p``, the probability of at least `n_far` if each row is far with probability 1 % (exact
        binomial test); ``drifted``, True where the share is at least 2 % and p below 0.001.
    """
    share = n_far / n if n else 0.0
    # bdtrc is P(X > n_far − 1) = P(X >= n_far), accurate where 1 − cdf would round to 0. With many rows even a share
    # of 1.1 % is significant, hence the second condition, on the size of the effect.
    p = float(bdtrc(n_far - 1, n, 1 - FAR_PERCENTILE / 100)) if n_far else 1.0
    return {"far_share": share, "p": p, "drifted": share >= DRIFT_SHARE and p < DRIFT_P}


def assign(
    rows: NDArray[np.float32],
    landmarks: Landmarks,
    n_neighbours: int,
    bandwidth: Bandwidth = "self-tuning",
    *,
    index: CompressedIndex | None = None,
    only: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> Assigned:
    """Return the mean membership and coordinates of the nearest landmarks of every row, weighted by affinity.

    Parameters
    ----------
    rows : ndarray of shape (n, width), float32
        Unit rows.
    landmarks : Landmarks
    n_neighbours : int
    bandwidth : {"self-tuning", "median"}
    index : CompressedIndex, optional
        Index over the landmarks' rows, for very many rows; without it the search is exact.
    only : ndarray of int64, optional
        Positions of the rows to assign, n of them, if a copy would take too much memory; all rows by default.
    threads : int, optional
        Threads of the neighbour search.
    """
    n = len(rows) if only is None else len(only)
    out = Assigned(np.empty(n, np.int32), np.empty(n, np.float32), np.empty((n, 2), np.float32), np.empty(n, np.bool_))
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        queries = rows[block] if only is None else rows[only[block]]
        if index is None:
            indices, distances = nearest(queries, landmarks.rows, n_neighbours, threads=threads)
        else:
            indices, distances = index.nearest(queries, n_neighbours, threads=threads)
        # The single scale is that of the landmarks, not of these rows: a row's weights must not depend on the others.
        sigma = scales(distances, bandwidth) if bandwidth == "self-tuning" else landmarks.sigma[:1]
        exponent = -(distances.astype(np.float64) ** 2) / (sigma[:, None] * landmarks.sigma[indices])
        # As in a softmax: without the shift, all weights of a row far from every landmark underflow to 0/0.
        weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        shares = np.einsum("nk,nkc->nc", weights, landmarks.shares[indices])
        out.labels[block] = shares.argmax(axis=1)
        # A mean of shares can exceed 1 by rounding.
        out.membership[block] = np.minimum(shares.max(axis=1), 1)
        out.coordinates[block] = np.einsum("nk,nkc->nc", weights, landmarks.coordinates[indices])
        out.far[block] = distances[:, 0] > landmarks.radius
    return out
