"""Selection cluster by cluster: group the candidates, allot the budget, take the best of each.

Shared by every method that allots before it ranks. Knows nothing of how rows are scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from curate.selectors.budgets.allocation import allocate, mean_degradation
from curate.selectors.budgets.recoverability import allocate_by_gain
from curate.selectors.candidates import Candidates, budget_after_pins, required
from curate.selectors.ranking.orders import round_robin
from curate.selectors.row_costs import first_fit, first_fit_within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Allocation = Literal["degradation", "proportional", "uniform", "recoverability"]

ALLOCATION_SIGNALS: dict[str, frozenset[str]] = {
    "degradation": frozenset({"cds"}),
    "recoverability": frozenset({"gain_ceiling", "gain_tau"}),
}
"""What an allocation reads of a pool beside clusters and token counts; the others read nothing."""


@dataclass(frozen=True)
class Strata:
    """The candidates by cluster. Clusters are renumbered by their smallest example id, whatever they were called."""

    label: NDArray[np.int64]
    """Cluster number of each stratum, shape (K,)."""
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


@dataclass(frozen=True)
class StrataPlan:
    """What each stratum may spend."""

    degradation: NDArray[np.float64]
    """Mean cds in nats, NaN where unknown."""
    budget: NDArray[np.int64]
    """Pins included."""
    warnings: tuple[str, ...] = ()
    ceiling: NDArray[np.float64] | None = None
    """Of the gain curve, nats per token; None where the allocation does not look at it."""
    tau: NDArray[np.float64] | None = None
    """Of the gain curve, rows."""


def group_by_cluster(candidates: Candidates, cluster: NDArray[np.int32]) -> Strata:
    """Return the candidates grouped by `cluster`, one number for every row of the pool."""
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
) -> StrataPlan:
    """Return each stratum's budget.

    Parameters
    ----------
    candidates, strata
        The rows that may be kept.
    signals : mapping of str to ndarray of shape (n,)
        The pool's; what `READS` names must be there.
    allocation : {"degradation", "proportional", "uniform", "recoverability"}
        In proportion to the mean ``cds`` of a stratum's eligible rows (PASER), to what its eligible rows cost, the same
        for all, or by marginal gain (`curate.selectors.budgets.recoverability`).
    budget : int
        In the unit of the candidates' cost.

    Raises
    ------
    UsageError
        If the pinned rows alone cost more than `budget`.
    InputError
        If gain curves are needed and not there.
    """
    budget_after_pins(candidates, budget)
    k = len(strata.label)
    rows, homes = (np.concatenate(pair) for pair in _pairs(candidates, strata))
    degradation = np.full(k, np.nan)
    if (cds := signals.get("cds")) is not None:
        degradation = mean_degradation(cds[rows], homes, k)
    if allocation == "recoverability":
        return _by_gain(strata, signals, rows, homes, degradation, budget)
    size = strata.upper.astype(np.float64)
    weight = {"degradation": degradation, "proportional": size, "uniform": np.ones(k)}[allocation]
    warnings: tuple[str, ...] = ()
    if allocation == "degradation" and not (np.nan_to_num(weight) > 0).any():
        warnings = ("no cluster is degraded (cds is 0 everywhere): the budget is shared in proportion to cluster size",)
    return StrataPlan(degradation, allocate(weight, strata.lower, strata.upper, budget), warnings)


def _by_gain(
    strata: Strata,
    signals: Mapping[str, NDArray[np.float64]],
    rows: NDArray[np.int64],
    homes: NDArray[np.int64],
    degradation: NDArray[np.float64],
    budget: int,
) -> StrataPlan:
    """Return the plan by marginal gain; `rows` are the eligible ones, `homes` their strata."""
    k = len(strata.label)
    ceiling, tau = np.full(k, np.nan), np.full(k, np.nan)
    # All rows of a cluster carry its curve.
    for name, values in (("gain_ceiling", ceiling), ("gain_tau", tau)):
        values[homes] = required(signals.get(name), "pilots", "--allocation recoverability")[rows]
    # Curves count rows; a budget in tokens counts what rows of the cluster cost on average.
    cost = strata.upper / np.maximum(np.bincount(homes, minlength=k), 1)
    weight = strata.size / strata.size.sum()
    shares = allocate_by_gain(weight, ceiling, tau * cost, strata.lower, strata.upper, budget)
    warnings: tuple[str, ...] = ()
    if not (np.nan_to_num(ceiling) > 0).any():
        warnings = ("no cluster gained by its pilots: the budget is shared in proportion to cluster size",)
    return StrataPlan(degradation, shares, warnings, ceiling, tau)


def take_best(
    candidates: Candidates, strata: Strata, plan: StrataPlan, score: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the places of the rows taken: each stratum's best that fit its budget, strata interleaved in rounds.

    `score` has shape (m,), larger = earlier, ties by example id. What the strata could not spend to the last token goes
    to the rows left over, in the same order.
    """
    queue = round_robin(strata.of, score)
    stratum_of, cost = strata.of[queue], candidates.cost[candidates.rows[queue]]
    remaining = plan.budget - strata.lower
    taken = first_fit_within(stratum_of, cost, remaining)
    rest = np.flatnonzero(~taken)
    late = rest[first_fit(cost[rest], int(remaining.sum() - cost[taken].sum()))]
    places: NDArray[np.int64] = queue[np.concatenate([np.flatnonzero(taken), late])]
    return places


def allocation_table(
    candidates: Candidates,
    strata: Strata,
    plan: StrataPlan,
    taken: NDArray[np.int64],
    filled: NDArray[np.int64] | None = None,
    refused: NDArray[np.int64] | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return the rows of the side table ``allocation``, by cluster number.

    `taken` holds the places of all kept rows but pins, `filled` of those among them that had been refused, `refused` of
    those left out as conflicting.
    """
    none = np.empty(0, dtype=np.int64)
    k = len(strata.label)

    def count(*homes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(np.concatenate(homes), minlength=k)

    columns = {
        "cluster": strata.label,
        "size": strata.size,
        "eligible": count(strata.of, strata.of_pins),
        "degradation": plan.degradation,
        "budget": plan.budget.astype(np.float64),
        "kept": count(strata.of[taken], strata.of_pins),
        "filled": count(strata.of[none if filled is None else filled]),
        "refused": count(strata.of[none if refused is None else refused]),
        "ceiling": np.full(k, np.nan) if plan.ceiling is None else plan.ceiling,
        "tau": np.full(k, np.nan) if plan.tau is None else plan.tau,
    }
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]
    for row in rows:
        row |= {name: None for name in ("degradation", "ceiling", "tau") if np.isnan(row[name])}
    return tuple(sorted(rows, key=lambda row: int(row["cluster"])))


def _sums(stratum_of: NDArray[np.int64], cost: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    # Exact: float64 weights of bincount hold whole numbers to 2^53.
    return np.bincount(stratum_of, weights=cost, minlength=k).astype(np.int64)


def _pairs(candidates: Candidates, strata: Strata) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    return [candidates.rows, candidates.pins], [strata.of, strata.of_pins]
