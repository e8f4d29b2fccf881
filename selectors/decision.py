"""Builds the decision of a method from the rows that a method took: a ledger reason for every row, facts and warnings.

The only module that writes the ledger reasons ``selected`` and ``conflict``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.selection import CONFLICT, SELECTED, Decision
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
) -> Decision:
    """Return the decision that keeps the pins and the rows that were taken.

    Parameters
    ----------
    candidates : Candidates
        The rows that competed.
    taken : ndarray of int64
        Positions in ``candidates.rows`` of the rows taken, in that order.
    budget : int
        Upper bound of the cost of all kept rows, in rows or tokens.
    score : ndarray of shape (m,), optional
        Score of the competing rows, larger = taken earlier; NaN in the ledger if omitted.
    conflicts : pair of ndarray of int64, optional
        Pool rows refused as conflicting and not taken back, and the kept pool row that each conflicts with.
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
    # Last, because a row taken back after a refusal counts as selected.
    reason[order] = SELECTED
    scores = np.full(len(reason), np.nan)
    if score is not None:
        scores[candidates.rows] = score
    spent = int(candidates.cost[order].sum())
    eligible = len(candidates.rows) + len(candidates.pins)
    all_warnings = (*candidates.warnings, *warnings)
    if len(order) == eligible and spent < budget:
        all_warnings += (
            f"only {eligible} rows ({spent} {candidates.unit}) are eligible: all are kept, "
            f"{budget - spent} {candidates.unit} short of the budget of {budget}",
        )
    summary = {"unit": candidates.unit, "budget": budget, "spent": spent, "shortfall": max(budget - spent, 0)}
    counts = {"eligible": eligible, "kept": len(order), "pinned": len(candidates.pins)}
    return Decision(order, reason, related, scores, allocation, summary | counts | dict(facts or {}), all_warnings)


def take_in_order(
    candidates: Candidates,
    queue: NDArray[np.int64],
    budget: int,
    score: NDArray[np.float64] | None = None,
    facts: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Decision:
    """Return the decision that keeps the pins, then every row of `queue` that fits the remaining budget.

    `queue` holds positions in ``candidates.rows`` in the order of preference; the other parameters are as in `decide`.
    """
    fits = first_fit(candidates.cost[candidates.rows[queue]], budget_after_pins(candidates, budget))
    return decide(candidates, queue[fits], budget, score=score, facts=facts, warnings=warnings)
