"""Allocates a budget over clusters in proportion to a weight, within bounds: water-filling, then one rounding.

n_k = clip(t · w_k, lower_k, upper_k) with the level t for which Σ n_k = B. In PASER w_k is CDS_k, the mean ``cds`` of
the cluster.

Source: PASER, arXiv 2502.12594 §3.2, n_k = ⌊B · CDS_k / Σ CDS⌋. Departures: the bounds (pinned rows and cluster sizes),
and largest-remainder rounding where the paper floors and loses the remainder. Works on weights and bounds in the
budget's unit, not on rows.
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
    """Return the integer budget of every cluster: n_k ∝ weight_k within bounds, summing to `total`.

    Parameters
    ----------
    weight : ndarray of shape (K,)
        Degradation of each cluster, >= 0; NaN counts as 0.
    lower : ndarray of shape (K,)
        Cost of the pinned rows of each cluster.
    upper : ndarray of shape (K,)
        Cost of all eligible rows of each cluster, >= `lower`.
    total : int
        The budget, at least Σ `lower`.

    Returns
    -------
    ndarray of shape (K,), int64
        lower <= n <= upper; Σ n = min(total, Σ upper).

    Notes
    -----
    What clusters of positive weight cannot hold goes to those of zero weight in proportion to their eligible size; if
    all weights are zero, that is the whole budget. Rounding ties go to the earlier cluster.
    """
    if upper.sum() <= total:
        return upper.astype(np.int64)

    def fill(which: NDArray[np.bool_], budget: float) -> NDArray[np.float64]:
        return water_fill(weight[which], lower[which], upper[which], budget)

    return round_to_total(fill_in_turn(np.nan_to_num(weight) > 0, fill, lower, upper, total), total)


def fill_in_turn(
    first: NDArray[np.bool_],
    fill: Callable[[NDArray[np.bool_], float], NDArray[np.float64]],
    lower: NDArray[np.int64] | NDArray[np.float64],
    upper: NDArray[np.int64] | NDArray[np.float64],
    total: int,
) -> NDArray[np.float64]:
    """Return real-valued budgets: `fill` for the `first` clusters, and what they cannot hold to the others by size.

    Parameters
    ----------
    first : ndarray of shape (K,), bool
        Clusters that get the budget as far as they can hold it.
    fill : callable
        ``fill(which, budget)`` divides a budget, at most their `upper`, over the clusters of a mask.
    lower, upper : ndarray of shape (K,)
    total : int
        Less than Σ `upper`.
    """
    share = lower.astype(np.float64)
    # Pinned rows of the other clusters are kept in any case, so they come off the budget before it is divided.
    for_first = total - float(lower[~first].sum())
    if upper[first].sum() > for_first:
        share[first] = fill(first, for_first)
    else:
        share[first] = upper[first]
        remaining = total - float(upper[first].sum())
        # Water-filling needs positive weights, and the weight here is the size.
        others = ~first & (upper > 0)
        share[others] = water_fill(upper[others].astype(np.float64), lower[others], upper[others], remaining)
    return share


def water_fill(
    weight: NDArray[np.float64],
    lower: NDArray[np.int64] | NDArray[np.float64],
    upper: NDArray[np.int64] | NDArray[np.float64],
    total: float,
) -> NDArray[np.float64]:
    """Return x_k = clip(t · weight_k, lower_k, upper_k) with the level t for which Σ x = `total`.

    `weight` > 0, Σ `lower` <= `total` <= Σ `upper`; all of shape (K,), the result float64.
    """
    share = np.zeros(len(weight))
    free = np.ones(len(weight), dtype=np.bool_)
    while free.any():
        # Normalised before the product: total · weight overflows for weights near the largest float.
        share[free] = (total - share[~free].sum()) * (weight[free] / weight[free].sum())
        over, under = free & (share > upper), free & (share < lower)
        if not (over.any() or under.any()):
            break
        # Σ clip(t · w, lower, upper) rises with t. If the upper bounds are exceeded by more than the lower bounds are
        # missed, clipping all at this t would sum to less than `total`, so the final t is at least this t and every
        # cluster now over its upper bound ends there; likewise for the lower bounds. So no fixed cluster is freed
        # again, and there are at most K rounds.
        excess = (share - upper)[over].sum() - (lower - share)[under].sum()
        fixed, bound = (over, upper) if excess >= 0 and over.any() else (under, lower)
        share[fixed] = bound[fixed]
        free &= ~fixed
    return share


def round_to_total(share: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return integers that sum to `total`: floors, plus one for the largest remainders, ties to the earlier cluster.

    `share` has shape (K,), is >= 0 and sums to `total` up to rounding error.
    """
    whole = np.floor(share).astype(np.int64)
    missing = total - int(whole.sum())
    # Remainders that differ only by floating-point error must tie, or the outcome would depend on the platform.
    remainder = np.round(share - whole, 9)
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole
