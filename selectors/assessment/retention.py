"""Retention: the share of the original's score that a model keeps, per capability, and negative transfer.

retention = score(model) / score(original); damage = 1 − retention(compressed). A capability on which the original is
less than five points above chance, or of fewer than ten items, is listed but left out of every mean, because its ratio
is noise. Scores are per item, larger is better, and all models have the same items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.assessment.intervals import (
    Interval,
    Resampling,
    group_means,
    holm,
    percentile_interval,
    replicate_means,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 0.05
"""Smallest margin of the original above chance for a capability to count."""

LEAST_ITEMS = 10
"""Smallest capability that counts, in items, where any has as many; at ten the error of a share is about 0.16."""

CLOSE_TO_CHANCE = "original close to chance"
FEW_ITEMS = f"fewer than {LEAST_ITEMS} items"


@dataclass(frozen=True)
class GroupRetention:
    """One capability of a model."""

    group: int
    items: int
    original: float
    """Mean score of the original."""
    compressed: float
    """Mean score of the compressed model; NaN without one."""
    score: float
    """Mean score of the model."""
    left_out: str
    """Why the ratio is not meaningful and counts in no mean; empty if it counts."""
    retention: Interval
    """score / original, >= 0."""
    damage: float
    """1 − compressed / original; NaN without a compressed model."""
    gain: Interval
    """score − compressed, paired by item; NaN without a compressed model."""
    p_holm: float
    """p-value of the gain, adjusted for the number of capabilities."""
    harmed: bool
    """Negative transfer: the model is worse than the compressed one before training, and p_holm < 1 − confidence."""


@dataclass(frozen=True)
class Retention:
    """Retention of one model, per capability and over all that count."""

    groups: tuple[GroupRetention, ...]
    mean: Interval
    """Mean retention."""
    worst: Interval
    """Smallest retention of a capability."""
    mean_compressed: float
    """Mean retention of the compressed model; NaN without one."""


def left_out(
    original: NDArray[np.float64], chance: NDArray[np.float64], group: NDArray[np.int64], n_groups: int
) -> list[str]:
    """Return why each group counts in no mean, an empty text for those that count.

    A group counts if the original's mean score is at least `MARGIN` above the mean chance, and if it has `LEAST_ITEMS`
    items or no such group has.

    Parameters
    ----------
    original, chance : ndarray of shape (n,)
        Score of the original on each item, and the expected score of guessing.
    """
    means = group_means(np.stack([original, chance]), group, n_groups)
    with np.errstate(invalid="ignore"):
        # The slack counts an original that is exactly at the margin, whatever the rounding of the means.
        above: NDArray[np.bool_] = means[0] - means[1] >= MARGIN - 1e-12
    large = np.bincount(group, minlength=n_groups) >= LEAST_ITEMS
    # Of small groups only, for example under --limit 5, all count: their intervals show what that is worth.
    use = above & large if (above & large).any() else above
    return ["" if use[g] else FEW_ITEMS if above[g] else CLOSE_TO_CHANCE for g in range(n_groups)]


def counted(
    original: NDArray[np.float64], chance: NDArray[np.float64], group: NDArray[np.int64], n_groups: int
) -> NDArray[np.bool_]:
    """Return which groups count; see `left_out`."""
    return np.array([not reason for reason in left_out(original, chance, group, n_groups)], dtype=np.bool_)


def ratios(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return score / original for group means of shape (..., 2, G): the model's, then the original's; NaN over 0."""
    model, original = means[..., 0, :], means[..., 1, :]
    quotient: NDArray[np.float64] = np.divide(model, original, out=np.full(model.shape, np.nan), where=original > 0)
    return quotient


def assess_retention(
    model: NDArray[np.float64],
    original: NDArray[np.float64],
    compressed: NDArray[np.float64] | None,
    group: NDArray[np.int64],
    n_groups: int,
    chance: NDArray[np.float64],
    how: Resampling,
) -> Retention:
    """Return the retention of one model, with intervals over items.

    Parameters
    ----------
    model, original, compressed, chance : ndarray of shape (n,), float64
        Scores on the same items, and the expected score of guessing on each.
    group : ndarray of shape (n,), int
        Capability, cluster or task of each item, from 0.
    n_groups : int
    how : Resampling
    """
    rows = np.stack([model, original, np.full(len(model), np.nan) if compressed is None else compressed])
    means = group_means(rows, group, n_groups)
    replicates = replicate_means(rows, group, n_groups, how.draws, np.random.default_rng(how.seed))
    reasons = left_out(original, chance, group, n_groups)
    use = np.array([not reason for reason in reasons])
    point, drawn = ratios(means[:2]), ratios(replicates[:, :2])
    gains = [percentile_interval(g[0] - g[2], r[:, 0] - r[:, 2], how) for g, r in _by_group(means, replicates)]
    adjusted = holm(np.array([np.nan if gain.p is None else gain.p for gain in gains]))
    before = ratios(means[[2, 1]])
    sizes = np.bincount(group, minlength=n_groups)
    groups = tuple(
        GroupRetention(
            group=g,
            items=int(sizes[g]),
            original=float(means[1, g]),
            compressed=float(means[2, g]),
            score=float(means[0, g]),
            left_out=reasons[g],
            retention=percentile_interval(point[g], drawn[:, g], how),
            damage=float(1 - before[g]),
            gain=gains[g],
            p_holm=float(adjusted[g]),
            harmed=bool(gains[g].value < 0 and adjusted[g] < 1 - how.confidence),
        )
        for g in range(n_groups)
    )
    if not use.any():
        undefined = Interval(np.nan, np.nan, np.nan)
        return Retention(groups, undefined, undefined, float("nan"))
    return Retention(
        groups,
        percentile_interval(point[use].mean(), drawn[:, use].mean(axis=1), how),
        # The minimum is taken in every replicate: which capability is worst is uncertain too.
        percentile_interval(point[use].min(), drawn[:, use].min(axis=1), how),
        float(before[use].mean()),
    )


def _by_group(
    means: NDArray[np.float64], replicates: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    return [(means[:, g], replicates[:, :, g]) for g in range(means.shape[1])]
