"""Tempered allocation: budgets between a group's size and its damage, with a floor under every group.

n_g = clip(t · w_g, max(pins_g, φ · B · size_g / Σ size), capacity_g) with w_g = size_g^(1−γ) · D_g^γ and the level t
for which Σ n_g = B; D_g is the mean ``cds`` of the group, sizes and budgets are in rows or tokens. γ = 0 is
`proportional`, γ = 1 without a floor PASER's allocation.

Source: ours, after the mixtures of NVIDIA's recovery recipes, of which the balanced ones win: damage alone starves
groups that are hardly damaged, and training on the others then damages them. A floor, not a renormalised maximum: the
shares that are renormalised after raising some to the floor would fall below it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.budgets.allocation import fill_in_turn, round_to_total, water_fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAMMA = 0.5
"""γ, between a group's size (0) and its damage (1)."""
GAMMA_ABOUT = "With --allocation tempered, between sizes (0) and damage (1)."
FLOOR = 0.5
"""φ, the share of its proportional budget that every group gets."""


def tempered_weight(
    size: NDArray[np.float64], degradation: NDArray[np.float64], gamma: float = GAMMA
) -> NDArray[np.float64]:
    """Return w_g = size_g^(1−γ) · D_g^γ, shape (K,); 0 where the damage is unknown and γ > 0.

    Parameters
    ----------
    size : ndarray of shape (K,)
        Cost of the eligible rows of each group, >= 0.
    degradation : ndarray of shape (K,)
        Mean ``cds`` in nats, >= 0; NaN where unknown.
    gamma : float
        γ in [0, 1].
    """
    # 0 ** 0 is 1: with γ = 0 a group of unknown damage has its size as its weight, as it should.
    weight: NDArray[np.float64] = size ** (1.0 - gamma) * np.nan_to_num(degradation) ** gamma
    return np.where(size > 0, weight, 0.0)


def allocate_tempered(
    weight: NDArray[np.float64],
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    total: int,
    floor: float = FLOOR,
) -> NDArray[np.int64]:
    """Return the integer budget of every group: n_g ∝ weight_g above a floor and within bounds, summing to `total`.

    Parameters
    ----------
    weight : ndarray of shape (K,)
        From `tempered_weight`, >= 0.
    lower, upper, total
        As for `curate.selectors.budgets.allocation.allocate`, and so is the result; `upper` is also the size by which
        the floors are proportional.
    floor : float
        φ in [0, 1].

    Notes
    -----
    Before the one rounding every group has at least its floor. Where pinned rows leave too little for all floors, what
    they leave is divided in proportion to the floors. What groups of positive weight cannot hold goes to the others by
    size; if all weights are zero, that is the whole budget.
    """
    if upper.sum() <= total:
        return upper.astype(np.int64)
    size = upper.astype(np.float64)
    least = np.maximum(lower, floor * total * (size / size.sum()))
    # Rounding error may put a floor above the capacity, where the two are equal.
    least = np.minimum(least, size)
    if least.sum() >= total:
        held = size > 0
        share = np.zeros(len(size))
        share[held] = water_fill(size[held], lower[held], upper[held], total)
        return round_to_total(share, total)

    def fill(which: NDArray[np.bool_], budget: float) -> NDArray[np.float64]:
        return water_fill(weight[which], least[which], size[which], budget)

    return round_to_total(fill_in_turn(weight > 0, fill, least, size, total), total)
