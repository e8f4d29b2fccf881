"""PASER: gives degraded clusters more budget, takes rows with the best degradation per cost, and skips contradictions.

Budget of cluster k: n_k = B · CDS_k / Σ_j CDS_j with CDS_k the mean divergence of its rows. Order inside a cluster:
IES_i = cds_i / log(max(l_i², e)), l_i the row's tokens. A row is refused if two of its concepts both occur in accepted
rows but never in the same one (the concept consistency graph).

Source: PASER, arXiv 2502.12594 §3.2 (budgets, IES) and §3.3 (graph). Departures: budgets are rounded once and lose no
remainder; clusters are interleaved, so their numbering does not matter; two unlinked concepts conflict only where
chance would have linked them (λ = 3; the literal rule, ``--consistency strict``, refuses most rows once the graph has
grown); what refusals leave unspent is filled with the rows that conflict least. Allocation, order and an optional noise
filter are exchangeable, for ablations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from curate.schemas.defaults import option
from curate.selectors.budgets.allocation_table import allocation_table
from curate.selectors.budgets.groups import GROUPS_ABOUT, Groups, check_groups, group_needs
from curate.selectors.budgets.strata import (
    ALLOCATION_SIGNALS,
    Allocation,
    Strata,
    group_candidates,
    plan_strata,
    take_best,
)
from curate.selectors.budgets.tempered import GAMMA, GAMMA_ABOUT
from curate.selectors.candidates import Candidates, find_candidates, required, set_aside
from curate.selectors.consistency.conflict_free import Taken, take_conflict_free
from curate.selectors.decision import decide
from curate.selectors.ranking.orders import efficiency, worst_share
from curate.selectors.ranking.topsis import closeness_within
from curate.selectors.validation import check_choice, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Decision, Pool

Consistency = Literal["expected", "strict", "soft", "off"]

_LARGE_FILL = 0.5
"""Share of kept rows that had been refused from which the consistency graph no longer shapes the selection."""


@dataclass(frozen=True)
class PaserSettings:
    """Settings of `select`."""

    allocation: Allocation = option(
        "degradation", "Budget per cluster: degradation, tempered, proportional, uniform or recoverability."
    )
    """By PASER's CDS_k, between that and cost, by cost, equal, or by what pilot recoveries gained (an experiment)."""
    rank: Literal["ies", "donod", "random"] = option("ies", "Order inside a cluster: ies (the paper), donod or random.")
    consistency: Consistency = option(
        "expected", "Concept conflicts: expected or strict (refuse the row), soft (discount), off."
    )
    """``strict`` is the paper's rule; ``expected`` counts a pair only where chance would have linked it."""
    expectation: float = option(3.0, "Joint rows expected by chance from which an unlinked pair conflicts, >= 0.")
    """λ; used by ``expected`` and ``soft``."""
    fill: bool = option(True, "Leave budget unspent instead of taking refused rows back.")
    """If true, a cluster that cannot spend its budget otherwise takes its refused rows back, fewest conflicts first."""
    filter: Literal["none", "don", "nod"] = option(
        "none", "Noise filter: remove the rows of smallest don or largest nod first, or none."
    )
    filter_share: float = option(0.1, "Share of the rows that --filter removes, 0 to below 1.")
    gamma: float = option(GAMMA, GAMMA_ABOUT, later=True)
    groups: Groups = option("cluster", GROUPS_ABOUT, later=True)

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, naming the flag."""
        check_choice("--allocation", self.allocation, get_args(Allocation))
        check_choice("--rank", self.rank, ("ies", "donod", "random"))
        check_choice("--consistency", self.consistency, ("expected", "strict", "soft", "off"))
        check_number("--expectation", self.expectation, 0.0, float("inf"), below=True)
        check_choice("--filter", self.filter, ("none", "don", "nod"))
        check_number("--filter-share", self.filter_share, 0.0, 1.0, below=True)
        check_number("--gamma", self.gamma, 0.0, 1.0)
        check_groups(self.groups, self.allocation)


def needs(settings: PaserSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool under `settings`."""
    read = {"tokens"} | group_needs(settings.groups) | ALLOCATION_SIGNALS.get(settings.allocation, frozenset())
    if settings.rank == "ies":
        read.add("cds")
    if settings.rank == "donod":
        read |= {"don", "nod"}
    if settings.filter != "none":
        read.add(settings.filter)
    if settings.consistency != "off":
        read.add("concepts")
    return frozenset(read)


def select(pool: Pool, budget: int, in_tokens: bool, settings: PaserSettings, rng: np.random.Generator) -> Decision:
    """Return PASER's selection.

    Parameters
    ----------
    pool : Pool
        Must hold what `needs` names.
    budget : int
        Rows, or tokens if `in_tokens`.
    in_tokens : bool
        True if a row costs its prompt and response tokens.
    settings : PaserSettings
    rng : numpy.random.Generator
        Used by ``rank="random"`` only.

    Raises
    ------
    UsageError
        If a signal was not computed, or pins cost more than the budget.
    InputError
        If no row can be kept.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "paser")
    if settings.filter != "none":
        values = pool.signals[settings.filter][candidates.rows]
        # Before the budgets, so that noise does not count as degradation of its cluster.
        badness = -values if settings.filter == "don" else values
        candidates = set_aside(candidates, worst_share(badness, settings.filter_share), settings.filter)
    strata = group_candidates(pool, candidates, "paser")
    plan = plan_strata(candidates, strata, pool.signals, settings.allocation, budget, settings.gamma)
    score = _score(pool, candidates, strata, settings, rng)
    if settings.consistency == "off":
        taken = take_best(candidates, strata, plan, score)
        table = allocation_table(strata, plan, taken)
        return decide(candidates, taken, budget, score=score, allocation=table, warnings=plan.warnings)
    mode, expectation, fill = settings.consistency, settings.expectation, settings.fill
    concepts = required(pool.concepts, "concepts", "paser")
    result = take_conflict_free(candidates, strata, plan, score, concepts, mode, expectation, fill)
    kept = len(result.order) + len(candidates.pins)
    share = len(result.filled) / kept if kept else 0.0
    return decide(
        candidates,
        result.order,
        budget,
        score=score,
        conflicts=(candidates.rows[result.refused], result.rival),
        allocation=allocation_table(strata, plan, result.order, result.filled, result.refused),
        facts={"filled": len(result.filled), "filled_share": share, "refused": len(result.refused)},
        warnings=plan.warnings + _refusal_warnings(candidates, result, share, budget, fill),
    )


def _score(
    pool: Pool, candidates: Candidates, strata: Strata, settings: PaserSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the score of each candidate inside its cluster, shape (m,), >= 0, larger = taken earlier."""
    rows = candidates.rows
    if settings.rank == "random":
        return rng.random(len(rows))
    if settings.rank == "donod":
        return closeness_within(strata.of, pool.signals["don"][rows], pool.signals["nod"][rows])
    return efficiency(pool.signals["cds"][rows], pool.n_prompt_tokens[rows], pool.n_response_tokens[rows])


def _refusal_warnings(
    candidates: Candidates, result: Taken, filled_share: float, budget: int, fill: bool
) -> tuple[str, ...]:
    """Return the warnings about refused rows."""
    if filled_share > _LARGE_FILL:
        return (
            f"{filled_share:.0%} of the kept rows had been refused as conflicting and were taken back to fill the "
            "budget; consider --consistency expected or off",
        )
    kept = np.concatenate([candidates.rows[result.order], candidates.pins])
    short = budget - int(candidates.cost[kept].sum())
    if not fill and len(result.refused) and short > 0:
        return (
            f"{short} {candidates.unit} of the budget of {budget} stay unspent, because "
            "rows refused as conflicting are not taken back; drop --no-fill or raise --expectation",
        )
    return ()
