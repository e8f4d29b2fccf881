"""PASER (arXiv 2502.12594 §3.2–3.3): more budget where compression hurt, efficient rows first, no contradictions.

n_k ∝ B · CDS_k / Σ CDS with CDS_k the mean divergence of a cluster; inside a cluster by
IES_i = cds_i / log(max(l_i², e)), l_i its tokens; a row is refused when two of its concepts are known but never stood
together in an accepted row.

Departures, all from METHODS §3: budgets are rounded once and lose no remainder; clusters are interleaved so that their
numbering does not matter; two unlinked concepts conflict only where chance would have linked them (λ = 3; the literal
rule, ``--consistency strict``, refuses most rows once a graph exists); what refusals leave unspent is filled with the
rows that conflict least. Allocation, ranking and noise filter can each be exchanged, for ablations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from curate.selectors.budgets.strata import (
    ALLOCATION_SIGNALS,
    Allocation,
    Strata,
    allocation_table,
    group_by_cluster,
    plan_strata,
    take_best,
)
from curate.selectors.candidates import Candidates, find_candidates, required, set_aside
from curate.selectors.consistency.conflict_free import Taken, take_conflict_free
from curate.selectors.decision import decide
from curate.selectors.ranking.orders import efficiency, worst_share
from curate.selectors.ranking.topsis import closeness_within
from curate.selectors.validation import check_choice, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Pool, Selection

Consistency = Literal["expected", "strict", "soft", "off"]

_LARGE_FILL = 0.5


@dataclass(frozen=True)
class PaserSettings:
    """Settings of `select`."""

    allocation: Allocation = "degradation"
    """How the budget is shared over clusters: ``degradation`` (PASER), ``proportional`` to size, ``uniform``, or
    ``recoverability``, by what pilot recoveries say that rows bring back (ours, an experiment)."""
    rank: Literal["ies", "donod", "random"] = "ies"
    """What is taken first inside a cluster: ``ies`` (PASER), ``donod`` (closeness inside the cluster), ``random``."""
    consistency: Consistency = "expected"
    """``expected`` (a pair conflicts only where chance would have linked it), ``strict`` (the paper), ``soft``
    (conflicts lower the score, nothing is refused), ``off``."""
    expectation: float = 3.0
    """λ: number of accepted rows that would hold both concepts by chance from which an unlinked pair conflicts, >= 0;
    read by ``expected`` and ``soft``."""
    fill: bool = True
    """Take refused rows back, those with fewest conflicts first, where a cluster cannot spend its budget otherwise."""
    filter: Literal["none", "don", "nod"] = "none"
    """Signal by which the worst rows are set aside first: smallest ``don`` or largest ``nod``."""
    filter_share: float = 0.1
    """Share of the competing rows that `filter` sets aside, [0, 1)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot mean anything, naming the flag."""
        check_choice("--allocation", self.allocation, get_args(Allocation))
        check_choice("--rank", self.rank, ("ies", "donod", "random"))
        check_choice("--consistency", self.consistency, ("expected", "strict", "soft", "off"))
        check_number("--expectation", self.expectation, 0.0, float("inf"), below=True)
        check_choice("--filter", self.filter, ("none", "don", "nod"))
        check_number("--filter-share", self.filter_share, 0.0, 1.0, below=True)


def needs(settings: PaserSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads of a pool under `settings`."""
    wanted = {"clusters", "scores"} | ALLOCATION_SIGNALS.get(settings.allocation, frozenset())
    if settings.rank == "ies":
        wanted.add("cds")
    if settings.rank == "donod":
        wanted |= {"don", "nod"}
    if settings.filter != "none":
        wanted.add(settings.filter)
    if settings.consistency != "off":
        wanted.add("concepts")
    return frozenset(wanted)


def select(pool: Pool, budget: int, in_tokens: bool, settings: PaserSettings, rng: np.random.Generator) -> Selection:
    """Return PASER's selection.

    Parameters
    ----------
    pool : Pool
        Needs what `needs` names.
    budget : int
        Rows, or tokens if `in_tokens`.
    in_tokens : bool
        True if a row costs its prompt and response tokens.
    settings : PaserSettings
        See there.
    rng : numpy.random.Generator
        Read by ``rank="random"`` only.

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
        badness = -values if settings.filter == "don" else values
        candidates = set_aside(candidates, worst_share(badness, settings.filter_share), settings.filter)
    strata = group_by_cluster(candidates, required(pool.cluster, "clusters", "paser"))
    plan = plan_strata(candidates, strata, pool.signals, settings.allocation, budget)
    score = _score(pool, candidates, strata, settings, rng)
    if settings.consistency == "off":
        taken = take_best(candidates, strata, plan, score)
        table = allocation_table(candidates, strata, plan, taken)
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
        allocation=allocation_table(candidates, strata, plan, result.order, result.filled, result.refused),
        facts={"filled": len(result.filled), "filled_share": share, "refused": len(result.refused)},
        warnings=plan.warnings + _told(candidates, result, share, budget, fill),
    )


def _score(
    pool: Pool, candidates: Candidates, strata: Strata, settings: PaserSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return what rows are ranked by inside a cluster, shape (m,), >= 0, larger = earlier."""
    rows = candidates.rows
    if settings.rank == "random":
        return rng.random(len(rows))
    if settings.rank == "donod":
        return closeness_within(strata.of, pool.signals["don"][rows], pool.signals["nod"][rows])
    return efficiency(pool.signals["cds"][rows], pool.n_prompt_tokens[rows], pool.n_response_tokens[rows])


def _told(candidates: Candidates, result: Taken, filled_share: float, budget: int, fill: bool) -> tuple[str, ...]:
    """Return the warnings about refusals."""
    if filled_share > _LARGE_FILL:
        return (
            f"{filled_share:.0%} of the kept rows had been refused as conflicting and were taken back to fill the "
            "budget; consider --consistency expected or off",
        )
    kept = np.concatenate([candidates.rows[result.order], candidates.pins])
    short = budget - int(candidates.cost[kept].sum())
    if not fill and len(result.refused) and short > 0:
        return (
            f"{short} {candidates.unit} of the budget of {budget} stay unspent, "
            "for rows refused as conflicting are not taken back",
        )
    return ()
