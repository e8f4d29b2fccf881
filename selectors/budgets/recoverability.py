"""Allocates a budget over clusters by the loss that training recovers, instead of the loss that compression caused.

With a gain curve g_k(n) = G_k · (1 − exp(−n / τ_k)) for each cluster (`curate.selectors.budgets.gain_curves`), the
budgets solve the concave program

    maximise Σ_k w_k · g_k(n_k)   subject to   Σ_k n_k = B,   lower_k <= n_k <= upper_k,

with w_k the cluster's share of the corpus's rows, so that the objective is the mean gain over the corpus. Setting the
derivative w_k G_k / τ_k · exp(−n_k / τ_k) equal to the multiplier λ gives
n_k = clip(τ_k · ln(w_k G_k / (τ_k λ)), lower_k, upper_k).

Source: ours, an experiment (docs/decisions/0014); the alternative to PASER's damage (arXiv 2502.12594 §3.2), because a
degraded cluster may recover nothing with any number of rows, and another everything with ten. Assumes that rows help
only their own cluster, and that curves measured on random rows hold for the rows that a method selects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.budgets.allocation import fill_in_turn, round_to_total

if TYPE_CHECKING:
    from numpy.typing import NDArray


def allocate_by_gain(
    weight: NDArray[np.float64],
    ceiling: NDArray[np.float64],
    tau: NDArray[np.float64],
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    total: int,
) -> NDArray[np.int64]:
    """Return the integer budget of every cluster with the largest total gain, rounded once by largest remainder.

    Parameters
    ----------
    weight : ndarray of shape (K,)
        w_k, >= 0.
    ceiling : ndarray of shape (K,)
        G_k in nats per token, >= 0; NaN counts as 0.
    tau : ndarray of shape (K,)
        τ_k in the budget's unit, > 0; ignored where the ceiling is 0.
    lower, upper, total
        As for `curate.selectors.budgets.allocation.allocate`, and so is the result. What clusters with a gain cannot
        hold goes to the others in proportion to their eligible size; if none gains, that is the whole budget.
    """
    if upper.sum() <= total:
        return upper.astype(np.int64)
    worth = np.nan_to_num(weight * ceiling)

    def fill(which: NDArray[np.bool_], budget: float) -> NDArray[np.float64]:
        return marginal_fill(worth[which], tau[which], lower[which], upper[which], budget)

    return round_to_total(fill_in_turn(worth > 0, fill, lower, upper, total), total)


def marginal_fill(
    worth: NDArray[np.float64],
    tau: NDArray[np.float64],
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    total: float,
) -> NDArray[np.float64]:
    """Return x_k = clip(τ_k · (ln(worth_k / τ_k) − μ), lower_k, upper_k) with the μ = ln λ for which Σ x = `total`.

    `worth` > 0 is w_k G_k, `tau` > 0, Σ `lower` <= `total` <= Σ `upper`; all of shape (K,), the result float64.

    Notes
    -----
    Each x_k is linear in μ between the two values at which it meets its bounds, so Σ x is piecewise linear and falling.
    The segment that contains `total` is found among those 2K breakpoints, and μ on it by one division: exact, without
    iteration or tolerance.
    """
    # A difference of logarithms, because worth / tau may underflow.
    height = np.log(worth) - np.log(tau)
    # τ (height − μ) = upper below the first of these μ, and = lower above the second.
    leaves_upper, meets_lower = height - upper / tau, height - lower / tau

    def at(mu: float) -> NDArray[np.float64]:
        return np.clip(tau * (height - mu), lower, upper)

    breakpoints = np.unique(np.concatenate([leaves_upper, meets_lower]))
    sums = np.array([at(mu).sum() for mu in breakpoints])  # falling
    right = int(np.searchsorted(-sums, -float(total)))
    if right == 0:
        return upper.astype(np.float64)
    if right == len(breakpoints):
        return lower.astype(np.float64)
    # Inside a segment the set of clusters at a bound is constant; its midpoint tells which, without comparing equals.
    middle = (breakpoints[right - 1] + breakpoints[right]) / 2
    free = (leaves_upper < middle) & (middle < meets_lower)
    if not free.any():
        return at(float(breakpoints[right]))
    fixed = np.where(middle <= leaves_upper, upper, lower)[~free].sum()
    # Solve Σ_free τ_k (height_k − μ) + fixed = total for μ.
    mu = float(((tau * height)[free].sum() - (total - fixed)) / tau[free].sum())
    share: NDArray[np.float64] = at(mu)
    # μ carries rounding error, by which `at` could move a cluster off a bound it must keep.
    share[~free] = np.where(middle <= leaves_upper, upper, lower)[~free]
    return share
