"""Rows join the clusters of their nearest landmarks: the way in for rows that were not clustered themselves.

For what lies beyond the exact limit and for new rows of a grown corpus, so that old labels never move. Knows nothing of
how the landmarks got their memberships.
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
"""A row is far when its nearest landmark is farther than this percentile of what the landmarks are among themselves."""

DRIFT_SHARE = 0.02
"""Share of far rows from which drift is worth a new fit: twice what is expected without any."""

DRIFT_P = 1e-3
"""Probability below which a share of far rows is not put down to chance."""

FARTHEST = 2.0
"""The largest cosine distance there is."""


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
    """Where the queries went."""

    labels: NDArray[np.int32]
    """Shape (n,), a column of the landmarks' shares."""
    membership: NDArray[np.float32]
    """Shape (n,), weighted share of the neighbours in that cluster, in (0, 1]."""
    coordinates: NDArray[np.float32]
    """Shape (n, 2), weighted mean of the neighbours' coordinates."""
    far: NDArray[np.bool_]
    """Shape (n,), True where the nearest landmark is farther than the landmarks' radius: many of these mean drift."""


def radius(nearest_distances: NDArray[np.floating[Any]]) -> float:
    """Return the 99th percentile of the landmarks' distances to their nearest neighbours; 2 where there are none."""
    return float(np.percentile(nearest_distances, FAR_PERCENTILE)) if len(nearest_distances) else FARTHEST


def drift(n_far: int, n: int) -> dict[str, float | bool]:
    """Say whether rows that joined landmarks come from elsewhere than these: more of them are far than 1 %.

    Parameters
    ----------
    n_far, n : int
        Far rows (`Assigned.far`), and all rows that joined.

    Returns
    -------
    dict
        ``far_share``; ``p``, the probability of at least so many where each row is far with probability 1 % (exact
        binomial); ``drifted``, True where the share is at least 2 % and p below 0.001.
    """
    share = n_far / n if n else 0.0
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
    """Give every row the mean membership and coordinates of its nearest landmarks, weighted by affinity.

    The Nyström idea (Fowlkes et al. 2004) with the affinity of METHODS §2.3 and only the nearest landmarks; the
    exponents are shifted to a largest weight of 1, so that a row far from everything still follows its nearest.

    Parameters
    ----------
    rows : ndarray of shape (n, width), float32
        Unit rows.
    landmarks : Landmarks
    n_neighbours : int
    bandwidth : {"self-tuning", "median"}
    index : CompressedIndex, optional
        Over the landmarks' rows, for very many rows; the search is exact without it.
    only : ndarray of int64, optional
        Places of the rows to assign, n of them, for rows too many to copy; all by default.
    threads : int, optional
        Threads of the neighbour search.
    """
    n = len(rows) if only is None else len(only)
    out = Assigned(np.empty(n, np.int32), np.empty(n, np.float32), np.empty((n, 2), np.float32), np.empty(n, np.bool_))
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        queries = rows[part] if only is None else rows[only[part]]
        if index is None:
            indices, distances = nearest(queries, landmarks.rows, n_neighbours, threads=threads)
        else:
            indices, distances = index.nearest(queries, n_neighbours, threads=threads)
        # A single scale for all is the landmarks' own: the same rows must get the same weights in any company.
        sigma = scales(distances, bandwidth) if bandwidth == "self-tuning" else landmarks.sigma[:1]
        exponent = -(distances.astype(np.float64) ** 2) / (sigma[:, None] * landmarks.sigma[indices])
        weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        shares = np.einsum("nk,nkc->nc", weights, landmarks.shares[indices])
        out.labels[part] = shares.argmax(axis=1)
        out.membership[part] = np.minimum(shares.max(axis=1), 1)
        out.coordinates[part] = np.einsum("nk,nkc->nc", weights, landmarks.coordinates[indices])
        out.far[part] = distances[:, 0] > landmarks.radius
    return out
