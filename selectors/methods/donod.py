"""DONOD (arXiv 2504.14810): keep the rows closest to the largest DON and the smallest NOD at once.

C_i = D⁻ / (D⁺ + D⁻) by TOPSIS over [don (benefit), nod (cost)]; the highest C to the budget (see `topsis`).

Departures, from METHODS §1 and §4: ``don`` is the norm after minus before the step, larger is better, since the literal
sign prefers badly predicted rows (``--don-direction literal`` gives it); two other normalisations resist outliers, and
a warning says when that matters; ``--stratify clusters`` ranks inside clusters, each with a budget of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.selectors.budgets.strata import (
    ALLOCATION_SIGNALS,
    Strata,
    StrataPlan,
    allocation_table,
    group_by_cluster,
    plan_strata,
    take_best,
)
from curate.selectors.candidates import Candidates, budget_after_pins, find_candidates, required
from curate.selectors.decision import decide
from curate.selectors.ranking.orders import best_first
from curate.selectors.ranking.topsis import Normalise, closeness, closeness_within
from curate.selectors.row_costs import first_fit
from curate.selectors.validation import check_choice, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Pool, Selection

_LOW_OVERLAP = 0.8


@dataclass(frozen=True)
class DonodSettings:
    """Settings of `select`."""

    don_weight: float = 0.5
    """Weight of DON in TOPSIS, [0, 1]; NOD weighs the rest."""
    normalise: Normalise = "vector"
    """What is done to each signal first: ``vector`` (the paper), ``winsor`` (clipped to its 1st and 99th percentile),
    ``rank``."""
    don_direction: Literal["default", "literal"] = "default"
    """``default`` prefers rows that make the norm grow, ``literal`` the opposite (see METHODS §1, *The sign*)."""
    stratify: Literal["none", "clusters"] = "none"
    """Rank over the whole corpus, or inside each cluster with a budget per cluster."""
    allocation: Literal["degradation", "proportional", "recoverability"] = "proportional"
    """How ``stratify="clusters"`` shares the budget: by PASER's degradation or by ``recoverability``, which take a
    pair, or by size."""

    def __post_init__(self) -> None:
        """Refuse values that cannot mean anything, naming the flag."""
        check_number("--don-weight", self.don_weight, 0.0, 1.0)
        check_choice("--normalise", self.normalise, ("vector", "winsor", "rank"))
        check_choice("--don-direction", self.don_direction, ("default", "literal"))
        check_choice("--stratify", self.stratify, ("none", "clusters"))
        check_choice("--allocation", self.allocation, ("degradation", "proportional", "recoverability"))


def needs(settings: DonodSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads of a pool under `settings`."""
    wanted = {"scores", "don", "nod"}
    if settings.stratify == "clusters":
        wanted |= {"clusters"} | ALLOCATION_SIGNALS.get(settings.allocation, frozenset())
    return frozenset(wanted)


def select(pool: Pool, budget: int, in_tokens: bool, settings: DonodSettings, rng: np.random.Generator) -> Selection:
    """Return DONOD's selection. Deterministic: `rng` is not read.

    Parameters and errors are those of `curate.selectors.methods.paser.select`. Facts: ``winsor_overlap``, with the
    vector normalisation the share of the kept rows that the winsor normalisation keeps as well.
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
        facts["winsor_overlap"] = overlap = float(np.isin(taken, run("winsor")[0]).mean())
        if overlap < _LOW_OVERLAP:
            warnings += (
                f"outliers decide: only {overlap:.0%} of the kept rows would be kept with --normalise winsor; "
                "compare the two before trusting either",
            )
    table = () if strata is None or plan is None else allocation_table(candidates, strata, plan, taken)
    return decide(candidates, taken, budget, score=score, allocation=table, facts=facts, warnings=warnings)


def _plan(
    pool: Pool, candidates: Candidates, settings: DonodSettings, budget: int
) -> tuple[Strata | None, StrataPlan | None]:
    if settings.stratify == "none":
        return None, None
    strata = group_by_cluster(candidates, required(pool.cluster, "clusters", "donod"))
    return strata, plan_strata(candidates, strata, pool.signals, settings.allocation, budget)
