"""Selection cluster by cluster: group the candidates, allot the budget, take the best of each.

Shared by every method that allots before it ranks. Knows nothing of how rows are scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from curate.selectors.allocation import allocate, mean_degradation
from curate.selectors.budgeting import first_fit, first_fit_within
from curate.selectors.candidates import Candidates, room_beside_pins
from curate.selectors.ranking import round_robin

if TYPE_CHECKING:
    from numpy.typing import NDArray

Allocation = Literal["degradation", "proportional", "uniform"]


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
class Plan:
    """What each stratum may spend."""

    degradation: NDArray[np.float64]
    """Mean cds in nats, NaN where unknown."""
    budget: NDArray[np.int64]
    """Pins included."""
    warnings: tuple[str, ...] = ()


def group(candidates: Candidates, cluster: NDArray[np.int32]) -> Strata:
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


def allot(
    candidates: Candidates, strata: Strata, cds: NDArray[np.float64] | None, allocation: Allocation, budget: int
) -> Plan:
    """Return each stratum's budget.

    Parameters
    ----------
    candidates, strata
        The rows that may be kept.
    cds : ndarray of shape (n,), optional
        Capability degradation of every row of the pool, nats; needed for ``degradation`` only.
    allocation : {"degradation", "proportional", "uniform"}
        In proportion to the mean of `cds` over a stratum's eligible rows (PASER), to what its eligible rows cost, or
        the same for all.
    budget : int
        In the unit of the candidates' cost.

    Raises
    ------
    UsageError
        If the pinned rows alone cost more than `budget`.
    """
    room_beside_pins(candidates, budget)
    k = len(strata.label)
    degradation = np.full(k, np.nan)
    if cds is not None:
        rows, homes = (np.concatenate(pair) for pair in _pairs(candidates, strata))
        degradation = mean_degradation(cds[rows], homes, k)
    size = strata.upper.astype(np.float64)
    weight = {"degradation": degradation, "proportional": size, "uniform": np.ones(k)}[allocation]
    warnings: tuple[str, ...] = ()
    if allocation == "degradation" and not (np.nan_to_num(weight) > 0).any():
        warnings = ("no cluster is degraded (cds is 0 everywhere): the budget is shared in proportion to cluster size",)
    return Plan(degradation, allocate(weight, strata.lower, strata.upper, budget), warnings)


def take_best(candidates: Candidates, strata: Strata, plan: Plan, score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the places of the rows taken: each stratum's best that fit its budget, strata interleaved in rounds.

    `score` has shape (m,), larger = earlier, ties by example id. What the strata could not spend to the last token goes
    to the rows left over, in the same order.
    """
    queue = round_robin(strata.of, score)
    home, cost = strata.of[queue], candidates.cost[candidates.rows[queue]]
    room = plan.budget - strata.lower
    taken = first_fit_within(home, cost, room)
    rest = np.flatnonzero(~taken)
    late = rest[first_fit(cost[rest], int(room.sum() - cost[taken].sum()))]
    places: NDArray[np.int64] = queue[np.concatenate([np.flatnonzero(taken), late])]
    return places


def allocation_table(
    candidates: Candidates,
    strata: Strata,
    plan: Plan,
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
    }
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]
    for row in rows:
        row["degradation"] = None if np.isnan(row["degradation"]) else row["degradation"]
    return tuple(sorted(rows, key=lambda row: int(row["cluster"])))


def _sums(home: NDArray[np.int64], cost: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    # Exact: float64 weights of bincount hold whole numbers to 2^53.
    return np.bincount(home, weights=cost, minlength=k).astype(np.int64)


def _pairs(candidates: Candidates, strata: Strata) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    return [candidates.rows, candidates.pins], [strata.of, strata.of_pins]
