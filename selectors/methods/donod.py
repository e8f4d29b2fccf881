"""DONOD: keeps the rows whose gradient step grows the weight norm most (DON) and is smallest (NOD), by TOPSIS.

C_i = D⁻_i / (D⁺_i + D⁻_i), with D⁺ and D⁻ the distances to the ideal (max DON, min NOD) and the anti-ideal row
(min DON, max NOD) after weighting and normalisation; the rows with the largest C are kept up to the budget
(`curate.selectors.ranking.topsis`).

Source: DONOD, arXiv 2504.14810 §3. Departures: ``don`` is the norm after minus before the step and larger is better,
since the literal sign prefers badly predicted rows (``--don-direction literal`` restores it); two more normalisations
resist outliers, and a warning tells when they matter; ``--stratify clusters`` ranks inside clusters, each with its own
budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.schemas.defaults import option
from curate.selectors.budgets.allocation_table import allocation_table
from curate.selectors.budgets.groups import GROUPS_ABOUT, Groups, check_groups, group_needs
from curate.selectors.budgets.strata import (
    ALLOCATION_SIGNALS,
    Strata,
    StrataPlan,
    group_candidates,
    plan_strata,
    take_best,
)
from curate.selectors.budgets.tempered import GAMMA, GAMMA_ABOUT
from curate.selectors.candidates import Candidates, budget_after_pins, find_candidates
from curate.selectors.decision import decide
from curate.selectors.ranking.orders import best_first
from curate.selectors.ranking.topsis import Normalise, closeness, closeness_within
from curate.selectors.row_costs import first_fit
from curate.selectors.validation import check_choice, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Decision, Pool

_LOW_OVERLAP = 0.8
"""Share of kept rows in common with the clipped normalisation below which outliers decide the selection."""


@dataclass(frozen=True)
class DonodSettings:
    """Settings of `select`."""

    don_weight: float = option(0.5, "Weight of DON in TOPSIS, 0 to 1, the rest being that of NOD.")
    normalise: Normalise = option("vector", "Scaling of DON and NOD: vector (the paper), winsor (clipped) or rank.")
    don_direction: Literal["default", "literal"] = option(
        "default", "Preferred DON: default = the norm grows, literal (the paper) = it shrinks."
    )
    """See docs/decisions/0002."""
    stratify: Literal["none", "clusters"] = option(
        "none", "Rank over the whole corpus (none) or inside clusters, each with its budget."
    )
    allocation: Literal["degradation", "tempered", "proportional", "recoverability"] = option(
        "proportional", "Budget per cluster, if stratified: degradation, tempered, proportional or recoverability."
    )
    gamma: float = option(GAMMA, GAMMA_ABOUT, later=True)
    groups: Groups = option("cluster", GROUPS_ABOUT, later=True)

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, naming the flag."""
        check_number("--don-weight", self.don_weight, 0.0, 1.0)
        check_choice("--normalise", self.normalise, ("vector", "winsor", "rank"))
        check_choice("--don-direction", self.don_direction, ("default", "literal"))
        check_choice("--stratify", self.stratify, ("none", "clusters"))
        check_choice("--allocation", self.allocation, ("degradation", "tempered", "proportional", "recoverability"))
        check_number("--gamma", self.gamma, 0.0, 1.0)
        check_groups(self.groups, self.allocation)


def needs(settings: DonodSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool under `settings`."""
    read = {"tokens", "don", "nod"}
    if settings.stratify == "clusters":
        read |= group_needs(settings.groups) | ALLOCATION_SIGNALS.get(settings.allocation, frozenset())
    return frozenset(read)


def select(pool: Pool, budget: int, in_tokens: bool, settings: DonodSettings, rng: np.random.Generator) -> Decision:
    """Return DONOD's selection. Deterministic: `rng` is not used.

    Parameters and errors are those of `curate.selectors.methods.paser.select`. With the vector
    normalisation the fact ``winsor_overlap`` is the share of the kept rows that the winsor normalisation keeps too.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "donod")
    don, nod = pool.signals["don"][candidates.rows], pool.signals["nod"][candidates.rows]
    don = -don if settings.don_direction == "literal" else don
    strata, plan = _plan(pool, candidates, settings, budget)

    def run(normalise: Normalise) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if strata is None or plan is None:
            score = closeness(don, nod, settings.don_weight, normalise)
            queue = best_first(score)
            cost = candidates.cost[candidates.rows[queue]]
            return queue[first_fit(cost, budget_after_pins(candidates, budget))], score
        score = closeness_within(strata.of, don, nod, settings.don_weight, normalise)
        return take_best(candidates, strata, plan, score), score

    taken, score = run(settings.normalise)
    facts: dict[str, float] = {}
    warnings = () if plan is None else plan.warnings
    if settings.normalise == "vector" and len(taken):
        # One extreme value shrinks all others of its column after vector normalisation, and TOPSIS then ranks by the
        # other column alone. Clipping undoes that: where the two disagree, a few outliers shaped the selection.
        facts["winsor_overlap"] = overlap = float(np.isin(taken, run("winsor")[0]).mean())
        if overlap < _LOW_OVERLAP:
            warnings += (
                f"outliers dominate: only {overlap:.0%} of the kept rows would be kept with --normalise winsor; "
                "compare the two selections before using either",
            )
    table = () if strata is None or plan is None else allocation_table(strata, plan, taken)
    return decide(candidates, taken, budget, score=score, allocation=table, facts=facts, warnings=warnings)


def _plan(
    pool: Pool, candidates: Candidates, settings: DonodSettings, budget: int
) -> tuple[Strata | None, StrataPlan | None]:
    if settings.stratify == "none":
        return None, None
    strata = group_candidates(pool, candidates, "donod")
    return strata, plan_strata(candidates, strata, pool.signals, settings.allocation, budget, settings.gamma)
