"""Stratified selection: groups candidates, divides the budget over the groups, takes the best rows of each.

Shared by all methods with a budget per cluster, source or other group. The division is by degradation (PASER, arXiv
2502.12594 §3.2), cost, between the two (tempered), equal shares or measured gain; the rows taken are those of PASER's
rounds over clusters, for any score. Departs from PASER in that the outcome does not depend on how clusters are
numbered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.selectors.budgets.allocation import allocate, mean_degradation
from curate.selectors.budgets.recoverability import allocate_by_gain
from curate.selectors.budgets.tempered import GAMMA, allocate_tempered, tempered_weight
from curate.selectors.candidates import Candidates, budget_after_pins, required
from curate.selectors.ranking.orders import round_robin
from curate.selectors.row_costs import first_fit, first_fit_within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from curate.schemas.selection import Pool

Allocation = Literal["degradation", "tempered", "proportional", "uniform", "recoverability"]

ALLOCATION_SIGNALS: dict[str, frozenset[str]] = {
    "degradation": frozenset({"cds"}),
    "tempered": frozenset({"cds"}),
    "recoverability": frozenset({"gain_ceiling", "gain_tau"}),
}
"""Signals that an allocation reads besides clusters and token counts; the others read none."""


@dataclass(frozen=True)
class Strata:
    """The candidates by group; strata are the clusters or other groups, renumbered by their smallest candidate."""

    label: NDArray[np.int64]
    """Number of each stratum's cluster or group, shape (K,)."""
    size: NDArray[np.int64]
    """Rows of the pool, ineligible ones included."""
    of: NDArray[np.int64]
    """Stratum of each competing row, shape (m,)."""
    of_pins: NDArray[np.int64]
    """Stratum of each pinned row, shape (p,)."""
    lower: NDArray[np.int64]
    """Cost of the pinned rows of each stratum."""
    upper: NDArray[np.int64]
    """Cost of all its eligible rows."""
    names: tuple[str, ...] = ()
    """Name of each group by its number; empty if the strata are clusters."""


@dataclass(frozen=True)
class StrataPlan:
    """The budget of each stratum, and what it was computed from."""

    degradation: NDArray[np.float64]
    """Mean cds in nats, NaN where unknown."""
    budget: NDArray[np.int64]
    """In the budget's unit, cost of pins included."""
    warnings: tuple[str, ...] = ()
    ceiling: NDArray[np.float64] | None = None
    """Ceiling of the gain curve, nats per token; None if the allocation does not use it."""
    tau: NDArray[np.float64] | None = None
    """τ of the gain curve, rows; None if the allocation does not use it."""


def group_candidates(pool: Pool, candidates: Candidates, method: str) -> Strata:
    """Return the candidates by the groups that the user chose, by cluster if none.

    Raises
    ------
    InputError
        If the pool has neither groups nor clusters.
    """
    if pool.group is None:
        return group_by_cluster(candidates, required(pool.cluster, "clusters", method))
    return replace(group_by_cluster(candidates, pool.group.of), names=pool.group.names)


def group_by_cluster(candidates: Candidates, cluster: NDArray[np.int32]) -> Strata:
    """Return the candidates grouped by `cluster`, one number for every row of the pool."""
    # Candidates come first in the concatenation and are in order of example id, so the first occurrence of a cluster
    # orders the strata independently of the corpus order and of the labels, which break ties in every rounding.
    labels, first, index = np.unique(
        np.concatenate([cluster[candidates.rows], cluster[candidates.pins], cluster]),
        return_index=True,
        return_inverse=True,
    )
    number = np.empty(len(labels), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(labels))
    stratum = number[index]
    m, p, k = len(candidates.rows), len(candidates.pins), len(labels)
    of, of_pins = stratum[:m], stratum[m : m + p]
    lower = _sums(of_pins, candidates.cost[candidates.pins], k)
    return Strata(
        label=labels[np.argsort(number)].astype(np.int64),
        size=np.bincount(stratum[m + p :], minlength=k),
        of=of,
        of_pins=of_pins,
        lower=lower,
        upper=lower + _sums(of, candidates.cost[candidates.rows], k),
    )


def plan_strata(
    candidates: Candidates,
    strata: Strata,
    signals: Mapping[str, NDArray[np.float64]],
    allocation: Allocation,
    budget: int,
    gamma: float = GAMMA,
) -> StrataPlan:
    """Return each stratum's budget.

    Parameters
    ----------
    candidates, strata
        The rows that may be kept.
    signals : mapping of str to ndarray of shape (n,)
        Signals of the pool; those that `ALLOCATION_SIGNALS` names must be present.
    allocation : {"degradation", "tempered", "proportional", "uniform", "recoverability"}
        In proportion to the mean ``cds`` of a stratum's eligible rows (PASER), between that and their cost
        (`curate.selectors.budgets.tempered`), in proportion to their cost, equal, or by marginal gain
        (`curate.selectors.budgets.recoverability`).
    budget : int
        In the unit of the candidates' cost.
    gamma : float
        γ of ``tempered``, in [0, 1].

    Raises
    ------
    UsageError
        If the pinned rows alone cost more than `budget`.
    InputError
        If gain curves are needed and missing.
    """
    budget_after_pins(candidates, budget)  # raises where pins alone exceed it
    k = len(strata.label)
    rows, row_strata = (np.concatenate(pair) for pair in _pairs(candidates, strata))
    degradation = np.full(k, np.nan)
    if (cds := signals.get("cds")) is not None:
        degradation = mean_degradation(cds[rows], row_strata, k)
    if allocation == "recoverability":
        return _by_gain(strata, signals, rows, row_strata, degradation, budget)
    size = strata.upper.astype(np.float64)
    warnings: tuple[str, ...] = ()
    if allocation in ("degradation", "tempered") and not (np.nan_to_num(degradation) > 0).any():
        warnings = ("no cluster is degraded (cds is 0 everywhere): the budget is shared in proportion to cluster size",)
    if allocation == "tempered":
        weight = tempered_weight(size, degradation, gamma)
        return StrataPlan(degradation, allocate_tempered(weight, strata.lower, strata.upper, budget), warnings)
    weight = {"degradation": degradation, "proportional": size, "uniform": np.ones(k)}[allocation]
    return StrataPlan(degradation, allocate(weight, strata.lower, strata.upper, budget), warnings)


def _by_gain(
    strata: Strata,
    signals: Mapping[str, NDArray[np.float64]],
    rows: NDArray[np.int64],
    row_strata: NDArray[np.int64],
    degradation: NDArray[np.float64],
    budget: int,
) -> StrataPlan:
    """Return the plan by marginal gain; `rows` are the eligible pool rows, `row_strata` their strata."""
    k = len(strata.label)
    ceiling, tau = np.full(k, np.nan), np.full(k, np.nan)
    # All rows of a cluster hold the parameters of its curve, so any of them may overwrite the others.
    for name, values in (("gain_ceiling", ceiling), ("gain_tau", tau)):
        values[row_strata] = required(signals.get(name), "pilots", "--allocation recoverability")[rows]
    # Curves are over rows: for a budget in tokens τ is scaled by the mean cost of the cluster's rows.
    cost = strata.upper / np.maximum(np.bincount(row_strata, minlength=k), 1)
    weight = strata.size / strata.size.sum()
    shares = allocate_by_gain(weight, ceiling, tau * cost, strata.lower, strata.upper, budget)
    warnings: tuple[str, ...] = ()
    if not (np.nan_to_num(ceiling) > 0).any():
        warnings = ("no cluster gained by its pilots: the budget is shared in proportion to cluster size",)
    return StrataPlan(degradation, shares, warnings, ceiling, tau)


def take_best(
    candidates: Candidates, strata: Strata, plan: StrataPlan, score: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the positions of the rows taken: the best of each stratum that fit its budget, strata interleaved.

    `score` has shape (m,), larger = taken earlier, ties by example id. What the strata cannot spend, because no row of
    theirs is cheap enough, goes to the remaining rows in the same order.
    """
    queue = round_robin(strata.of, score)
    own_stratum, cost = strata.of[queue], candidates.cost[candidates.rows[queue]]
    remaining = plan.budget - strata.lower
    taken = first_fit_within(own_stratum, cost, remaining)
    not_taken = np.flatnonzero(~taken)
    late = not_taken[first_fit(cost[not_taken], int(remaining.sum() - cost[taken].sum()))]
    positions: NDArray[np.int64] = queue[np.concatenate([np.flatnonzero(taken), late])]
    return positions


def _sums(stratum: NDArray[np.int64], cost: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the total cost of each stratum, shape (k,)."""
    # bincount adds in float64, which is exact for integers up to 2^53.
    return np.bincount(stratum, weights=cost, minlength=k).astype(np.int64)


def _pairs(candidates: Candidates, strata: Strata) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    return [candidates.rows, candidates.pins], [strata.of, strata.of_pins]
