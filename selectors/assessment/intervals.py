"""Confidence intervals by bootstrap over items, or over seeds and items, and Holm's correction.

Items are resampled inside their group, the same ones for every model, so that differences between models are paired.
Seeds are few, and a percentile interval over five of them is too narrow: their share of the variance gets the
small-sample correction and Student's quantile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

COUNTED_AT_ONCE = 1 << 22
"""Largest number of resampling counts held in memory at a time."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are computed."""

    draws: int = 2000
    """Bootstrap draws, >= 1."""
    confidence: float = 0.95
    """Coverage of the intervals, in (0, 1)."""
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """A figure and its interval; all three NaN where the figure is undefined."""

    value: float
    low: float
    high: float
    p: float | None = None
    """Two-sided p-value of the hypothesis that the true value is 0, in (0, 1]; None where it was not computed."""

    @property
    def excludes_zero(self) -> bool:
        """True if the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def replicate_means(
    values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the group means of every row of `values` under resampled items.

    Parameters
    ----------
    values : ndarray of shape (k, n), float64
        Scores of k models (or seeds) on the same n items.
    group : ndarray of shape (n,), int
        Group of each item, from 0; a group is resampled to its own size.
    n_groups : int
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (draws, k, n_groups), float64
        NaN for a group without items.
    """
    out = np.full((draws, len(values), n_groups), np.nan)
    for g in range(n_groups):
        items = np.flatnonzero(group == g)
        size = len(items)
        if not size:
            continue
        own = np.ascontiguousarray(values[:, items].T)
        step = max(1, COUNTED_AT_ONCE // size)
        for start in range(0, draws, step):
            n = min(step, draws - start)
            # A resampled mean is counts @ values / size: one matrix product for all draws and models, and the same
            # items for every model. Shifting draw i by i · size makes one bincount count all draws at once.
            drawn = rng.integers(0, size, (n, size)) + np.arange(n)[:, None] * size
            counts = np.bincount(drawn.ravel(), minlength=n * size).reshape(n, size)
            out[start : start + n, :, g] = counts @ own / size
    return out


def group_means(values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Return the mean of every group of items, shape (k, n_groups), for `values` of shape (k, n); NaN where empty."""
    sizes = np.bincount(group, minlength=n_groups)
    sums = np.stack([np.bincount(group, weights=row, minlength=n_groups) for row in values])
    means: NDArray[np.float64] = np.divide(sums, sizes, out=np.full(sums.shape, np.nan), where=sizes > 0)
    return means


def percentile_interval(value: float, replicates: NDArray[np.float64], how: Resampling) -> Interval:
    """Return the percentile interval of a figure from its bootstrap replicates, with the p-value against 0.

    The p-value is twice the smaller share of replicates on one side of 0, with one pseudo-replicate on each side, so it
    is never 0. NaN replicates (a ratio over an original that scored 0) are ignored.

    Parameters
    ----------
    value : float
        The figure on the original items.
    replicates : ndarray of shape (draws,)
    """
    known = replicates[np.isfinite(replicates)]
    if not len(known) or not np.isfinite(value):
        return Interval(np.nan, np.nan, np.nan)
    tail = (1 - how.confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    below, above = int((known <= 0).sum()), int((known >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (len(known) + 1))
    return Interval(float(value), float(low), float(high), p)


def seeds_then_items(
    values: NDArray[np.float64], group: NDArray[np.int64], n_groups: int, statistic: Statistic, how: Resampling
) -> Interval:
    """Return the interval of a statistic of several seeds' scores on the same items.

    Parameters
    ----------
    values : ndarray of shape (S, k, n), float64
        Scores of S seeds, each with k models that are compared (for a paired difference: the method's and the
        baseline's scores of the same seed), on the same n items.
    group : ndarray of shape (n,), int
    n_groups : int
    statistic : callable
        From group means of shape (..., k, n_groups), already averaged over seeds, to figures of shape (...,).
    how : Resampling

    Notes
    -----
    Seeds are resampled with the items fixed, and items with the seeds fixed (the two are crossed: every seed is scored
    on the same items). The two variances add, and the interval is Student's with Welch–Satterthwaite degrees of
    freedom. With one seed the variance over seeds is unknown, and the interval covers the items only; displays must
    state that.
    """
    n_seeds, k, n = values.shape
    means = group_means(values.reshape(n_seeds * k, n), group, n_groups).reshape(n_seeds, k, n_groups)
    value = float(statistic(means.mean(axis=0)))
    if not np.isfinite(value):
        return Interval(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(how.seed)
    drawn = rng.integers(0, n_seeds, (how.draws, n_seeds))
    over_seeds = statistic(means[drawn].mean(axis=1))
    over_items = statistic(replicate_means(values.mean(axis=0), group, n_groups, how.draws, rng))
    # Drawing S of S seeds with replacement has variance σ̂²/S with σ̂² = Σ(x − x̄)²/S, while the unbiased estimate of the
    # variance of a mean divides by S − 1: the bootstrap is too small by (S − 1)/S, at five seeds by a fifth.
    by_seed = float(np.nanvar(over_seeds)) * n_seeds / (n_seeds - 1) if n_seeds > 1 else 0.0
    by_item = float(np.nanvar(over_items))
    return student_interval(value, by_seed, by_item, n_seeds - 1, how.confidence)


def student_interval(value: float, by_seed: float, by_item: float, seed_freedom: int, confidence: float) -> Interval:
    """Return value ± t · √(by_seed + by_item), and the p-value against 0.

    Parameters
    ----------
    by_seed, by_item : float
        Variances of the figure, >= 0.
    seed_freedom : int
        Degrees of freedom of the first, S − 1.
    """
    total = by_seed + by_item
    if not np.isfinite(value) or not np.isfinite(total):
        return Interval(np.nan, np.nan, np.nan)
    if total == 0:
        return Interval(value, value, value, 1.0 if value == 0 else 0.0)
    # Welch–Satterthwaite: ν = (a + b)² / (a²/ν_a + b²/ν_b). Items are many, so ν_b is infinite and its term vanishes.
    freedom = seed_freedom * (total / by_seed) ** 2 if by_seed > 0 else np.inf
    error = float(np.sqrt(total))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return Interval(value, value - half, value + half, float(2 * stats.t.sf(abs(value) / error, freedom)))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p-values adjusted for multiple comparisons (Holm 1979, step-down), shape (m,), in [0, 1].

    The i-th smallest of m is multiplied by m − i + 1, and none may be smaller than the one before it. Controls the
    family-wise error rate under any dependence. NaN stays NaN and does not count.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
