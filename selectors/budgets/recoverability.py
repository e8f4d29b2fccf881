"""A budget divided by what it brings back rather than by what was lost (ours, an experiment).

Damage is not recoverability: a cluster may be hurt and give nothing back for any number of rows, and another may be
whole again after ten. With a gain curve g_k(n) = G_k · (1 − exp(−n / τ_k)) for each cluster
(`curate.selectors.budgets.gain_curves`), the budgets are the solution of the concave program

    maximise Σ_k w_k · g_k(n_k)   subject to   Σ_k n_k = B,   lower_k <= n_k <= upper_k,

with w_k the cluster's share of the corpus's rows, so that the objective is the mean gain over the corpus. Its
Lagrangian has a closed form, n_k = clip(τ_k · ln(w_k G_k / (τ_k λ)), lower_k, upper_k).

Departures from what is true: a cluster's rows are taken to help that cluster alone, and the curve, measured with rows
drawn at random and nothing else, to hold for the rows that a method takes, mixed with others.
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
    """Return the whole budget of every cluster: the largest total gain, rounded once by largest remainder.

    Parameters
    ----------
    weight : ndarray of shape (K,)
        w_k, >= 0.
    ceiling : ndarray of shape (K,)
        G_k in nats per token, >= 0, NaN counting as 0.
    tau : ndarray of shape (K,)
        τ_k in the budget's unit, > 0; not looked at where the ceiling is 0.
    lower, upper, total
        As for `curate.selectors.budgets.allocation.allocate`, and so is the result. What clusters that gain cannot hold
        goes to those that do not, in proportion to their eligible size; if none gains, that is the whole budget.
    """
    if upper.sum() <= total:
        return upper.astype(np.int64)
    worth = np.nan_to_num(weight * ceiling)

    def fill(which: NDArray[np.bool_], budget: int) -> NDArray[np.float64]:
        return marginal_fill(worth[which], tau[which], lower[which], upper[which], budget)

    return round_to_total(fill_in_turn(worth > 0, fill, lower, upper, total), total)


def marginal_fill(
    worth: NDArray[np.float64],
    tau: NDArray[np.float64],
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    total: int,
) -> NDArray[np.float64]:
    """Return x_k = clip(τ_k · (ln(worth_k / τ_k) − μ), lower_k, upper_k) with the μ = ln λ for which Σ x = `total`.

    `worth` > 0 is w_k G_k, `tau` > 0, Σ `lower` <= `total` <= Σ `upper`; all of shape (K,), the result float64.

    Notes
    -----
    The sum falls with μ and is linear between the values at which a cluster meets a bound. The stretch that holds
    `total` is found among those values, and μ then by one division: no iteration, no tolerance.
    """
    height = np.log(worth) - np.log(tau)
    leaves_upper, meets_lower = height - upper / tau, height - lower / tau

    def at(mu: float) -> NDArray[np.float64]:
        return np.clip(tau * (height - mu), lower, upper)

    bends = np.unique(np.concatenate([leaves_upper, meets_lower]))
    sums = np.array([at(mu).sum() for mu in bends])  # falling
    place = int(np.searchsorted(-sums, -float(total)))
    if place == 0:
        return upper.astype(np.float64)
    if place == len(bends):
        return lower.astype(np.float64)
    middle = (bends[place - 1] + bends[place]) / 2
    free = (leaves_upper < middle) & (middle < meets_lower)
    if not free.any():
        return at(float(bends[place]))
    fixed = np.where(middle <= leaves_upper, upper, lower)[~free].sum()
    mu = float(((tau * height)[free].sum() - (total - fixed)) / tau[free].sum())
    share: NDArray[np.float64] = at(mu)
    share[~free] = np.where(middle <= leaves_upper, upper, lower)[~free]
    return share
