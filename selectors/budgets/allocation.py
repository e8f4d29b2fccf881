"""How a budget is divided over clusters (PASER §3.2, METHODS §3): water-filling, then one rounding.

Knows nothing of rows: clusters come as weights and bounds, in the budget's unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def mean_degradation(cds: NDArray[np.float64], cluster: NDArray[np.int64], n_clusters: int) -> NDArray[np.float64]:
    """Return CDS_k, the mean of `cds` over each cluster, shape (n_clusters,); NaN where a cluster has no finite value.

    Parameters
    ----------
    cds : ndarray of shape (m,)
        Capability degradation in nats, NaN where unknown.
    cluster : ndarray of shape (m,), int
        Cluster of each row, from 0.
    n_clusters : int
        Number of clusters.
    """
    known = np.isfinite(cds)
    counts = np.bincount(cluster[known], minlength=n_clusters)
    sums = np.bincount(cluster[known], weights=cds[known], minlength=n_clusters)
    mean: NDArray[np.float64] = np.divide(sums, counts, out=np.full(n_clusters, np.nan), where=counts > 0)
    return mean


def allocate(
    weight: NDArray[np.float64], lower: NDArray[np.int64], upper: NDArray[np.int64], total: int
) -> NDArray[np.int64]:
    """Return the whole budget of every cluster: n_k ∝ weight_k, bounded, summing to `total`.

    Parameters
    ----------
    weight : ndarray of shape (K,)
        Degradation of each cluster, >= 0, NaN counting as 0.
    lower : ndarray of shape (K,)
        What pinned rows already spend there.
    upper : ndarray of shape (K,)
        What all eligible rows cost there, >= `lower`.
    total : int
        The budget, at least Σ `lower`.

    Returns
    -------
    ndarray of shape (K,), int64
        lower <= n <= upper; Σ n = min(total, Σ upper).

    Notes
    -----
    PASER eq. for n_k, with one departure: the paper floors n_k and loses the remainder. Here clusters at a bound are
    fixed there and the rest rescaled until nothing is over (in real numbers), then one largest-remainder rounding,
    ties by place. What clusters of positive weight cannot hold goes to those of zero weight in proportion to their
    eligible size, which for all-zero weights is the whole budget.
    """
    if upper.sum() <= total:
        return upper.astype(np.int64)

    def fill(which: NDArray[np.bool_], budget: int) -> NDArray[np.float64]:
        return water_fill(weight[which], lower[which], upper[which], budget)

    return round_to_total(fill_in_turn(np.nan_to_num(weight) > 0, fill, lower, upper, total), total)


def fill_in_turn(
    first: NDArray[np.bool_],
    fill: Callable[[NDArray[np.bool_], int], NDArray[np.float64]],
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    total: int,
) -> NDArray[np.float64]:
    """Return real-valued budgets: `first` clusters by `fill`, and what they cannot hold to the others by size.

    Parameters
    ----------
    first : ndarray of shape (K,), bool
        Clusters that the budget is for.
    fill : callable
        ``fill(which, budget)`` divides a budget, no more than their `upper`, over the clusters of a mask.
    lower, upper : ndarray of shape (K,)
    total : int
        Less than Σ `upper`.
    """
    share = lower.astype(np.float64)
    for_first = total - int(lower[~first].sum())
    if upper[first].sum() > for_first:
        share[first] = fill(first, for_first)
    else:
        share[first] = upper[first]
        rest = total - int(upper[first].sum())
        open_ = ~first & (upper > 0)
        share[open_] = water_fill(upper[open_].astype(np.float64), lower[open_], upper[open_], rest)
    return share


def water_fill(
    weight: NDArray[np.float64], lower: NDArray[np.int64], upper: NDArray[np.int64], total: int
) -> NDArray[np.float64]:
    """Return x_k = clip(t · weight_k, lower_k, upper_k) with the t for which Σ x = `total`.

    `weight` > 0, Σ `lower` <= `total` <= Σ `upper`; all of shape (K,), the result float64.
    """
    share = np.zeros(len(weight))
    free = np.ones(len(weight), dtype=np.bool_)
    while free.any():
        rest = total - share[~free].sum()
        share[free] = rest * (weight[free] / weight[free].sum())
        over, under = free & (share > upper), free & (share < lower)
        if not (over.any() or under.any()):
            break
        # Fixing the side that is violated more can only move t towards it, so no fixed cluster has to be freed again.
        excess = (share - upper)[over].sum() - (lower - share)[under].sum()
        fixed, bound = (over, upper) if excess >= 0 and over.any() else (under, lower)
        share[fixed] = bound[fixed]
        free &= ~fixed
    return share


def round_to_total(share: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return whole numbers that sum to `total`: floors, then one more for the largest remainders, ties by place.

    `share` has shape (K,), is >= 0 and sums to `total` up to rounding error.
    """
    whole = np.floor(share).astype(np.int64)
    missing = total - int(whole.sum())
    # Remainders that differ by rounding error only are equal.
    remainder = np.round(share - whole, 9)
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole
