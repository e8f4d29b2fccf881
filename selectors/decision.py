"""From the order in which rows were taken to a Selection: a reason for every row, facts and shortfall.

The only place that writes ledger reasons for kept, refused and left-over rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.selection import CONFLICT, SELECTED, Selection
from curate.selectors.candidates import Candidates, budget_after_pins
from curate.selectors.row_costs import first_fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def decide(
    candidates: Candidates,
    taken: NDArray[np.int64],
    budget: int,
    *,
    score: NDArray[np.float64] | None = None,
    conflicts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    allocation: tuple[dict[str, Any], ...] = (),
    facts: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Selection:
    """Return the selection that keeps the pins and the rows that were taken.

    Parameters
    ----------
    candidates : Candidates
        The rows that competed.
    taken : ndarray of int64
        Places in ``candidates.rows`` of the rows taken, first taken first.
    budget : int
        What might have been spent, in rows or tokens.
    score : ndarray of shape (m,), optional
        What the competing rows were ranked by, larger = taken earlier. NaN in the ledger where not given.
    conflicts : pair of ndarray of int64, optional
        Pool rows refused as conflicting and not taken back, and the kept pool row that each lost to.
    allocation, facts, warnings
        Passed through; ``facts`` gains ``unit``, ``budget``, ``spent``, ``shortfall``, ``eligible`` and ``kept``.
    """
    order = np.concatenate([candidates.pins, candidates.rows[taken]])
    reason = candidates.reason.copy()
    related = np.full(len(reason), -1, dtype=np.int64)
    if conflicts is not None:
        refused, rival = conflicts
        reason[refused] = CONFLICT
        related[refused] = rival
    reason[order] = SELECTED
    scores = np.full(len(reason), np.nan)
    if score is not None:
        scores[candidates.rows] = score
    spent = int(candidates.cost[order].sum())
    eligible = len(candidates.rows) + len(candidates.pins)
    told = (*candidates.warnings, *warnings)
    if len(order) == eligible and spent < budget:
        told += (
            f"only {eligible} rows ({spent} {candidates.unit}) can be kept: all were taken, "
            f"{budget - spent} {candidates.unit} short of the budget of {budget}",
        )
    summary = {"unit": candidates.unit, "budget": budget, "spent": spent, "shortfall": max(budget - spent, 0)}
    counts = {"eligible": eligible, "kept": len(order), "pinned": len(candidates.pins)}
    return Selection(order, reason, related, scores, allocation, summary | counts | dict(facts or {}), told)


def take_in_order(
    candidates: Candidates,
    queue: NDArray[np.int64],
    budget: int,
    score: NDArray[np.float64] | None = None,
    facts: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Selection:
    """Return the selection that keeps the pins, then every row of `queue` that still fits.

    `queue` holds places in ``candidates.rows``, first offered first; the rest is as in `decide`.
    """
    fits = first_fit(candidates.cost[candidates.rows[queue]], budget_after_pins(candidates, budget))
    return decide(candidates, queue[fits], budget, score=score, facts=facts, warnings=warnings)
