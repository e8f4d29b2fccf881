"""Retention of a method over its seeds, its gain over a baseline, and negative transfer.

Every seed is scored on the same items; intervals cover both seeds and items (`curate.selectors.assessment.intervals`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.assessment.intervals import Interval, Resampling, holm, seeds_then_items
from curate.selectors.assessment.retention import ratios

if TYPE_CHECKING:
    from numpy.typing import NDArray


def harmed(
    method: NDArray[np.float64],
    compressed: NDArray[np.float64],
    group: NDArray[np.int64],
    n_groups: int,
    how: Resampling,
) -> NDArray[np.bool_]:
    """Return which groups the method's models are worse in than the compressed model, shape (n_groups,).

    Negative transfer over all seeds: the interval of score − compressed, paired by item, lies below 0 and its p-value,
    adjusted for the number of groups (Holm), is below 1 − confidence.

    Parameters
    ----------
    method : ndarray of shape (S, n), float64
    compressed : ndarray of shape (n,)
    """
    # The compressed model has no seeds: it is repeated, so that resampling seeds leaves it as it is.
    values = np.stack([method, np.broadcast_to(compressed, method.shape)], axis=1)
    changes = []
    for g in range(n_groups):
        own = values[:, :, group == g]
        one = np.zeros(own.shape[2], dtype=np.int64)
        changes.append(seeds_then_items(own, one, 1, lambda means: means[..., 0, 0] - means[..., 1, 0], how))
    adjusted = holm(np.array([np.nan if change.p is None else change.p for change in changes]))
    below = np.array([change.high < 0 for change in changes])
    worse: NDArray[np.bool_] = below & (adjusted < 1 - how.confidence)
    return worse


def retention_over_seeds(
    method: NDArray[np.float64],
    original: NDArray[np.float64],
    group: NDArray[np.int64],
    n_groups: int,
    use: NDArray[np.bool_],
    how: Resampling,
    *,
    worst: bool = False,
) -> Interval:
    """Return the mean (or the worst) retention of a method over its seeds, with an interval over seeds and items.

    Parameters
    ----------
    method : ndarray of shape (S, n), float64
        Scores of the models of S seeds.
    original : ndarray of shape (n,)
    use : ndarray of shape (n_groups,), bool
        The capabilities that count (`counted`).
    """
    values = np.stack([method, np.broadcast_to(original, method.shape)], axis=1)

    def statistic(means: NDArray[np.float64]) -> NDArray[np.float64]:
        kept = ratios(means)[..., use]
        return np.asarray(kept.min(axis=-1) if worst else kept.mean(axis=-1))

    return seeds_then_items(values, group, n_groups, statistic, how)


def retention_gain(
    method: NDArray[np.float64],
    baseline: NDArray[np.float64],
    original: NDArray[np.float64],
    group: NDArray[np.int64],
    n_groups: int,
    use: NDArray[np.bool_],
    how: Resampling,
    *,
    worst: bool = False,
) -> Interval:
    """Return retention(method) − retention(baseline), paired by seed and item.

    Parameters are those of `retention_over_seeds`. `method` and `baseline` have the same shape (S, n): row s of both
    was trained with the same seed.
    """
    values = np.stack([method, baseline, np.broadcast_to(original, method.shape)], axis=1)

    def statistic(means: NDArray[np.float64]) -> NDArray[np.float64]:
        both = [ratios(means[..., [row, 2], :])[..., use] for row in (0, 1)]
        ours, theirs = (kept.min(axis=-1) if worst else kept.mean(axis=-1) for kept in both)
        return np.asarray(ours - theirs)

    return seeds_then_items(values, group, n_groups, statistic, how)
