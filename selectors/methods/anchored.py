"""Anchored selection (ours, METHODS §4b): PASER's budgets over rows that the original model itself finds likely.

In each cluster the share of rows with the highest ``nll_original`` is set aside first (reason ``filtered:anchor``): the
original model is what recovery wants back, hence the natural judge of a wrong answer. CDS_k is averaged over the rest,
budgets are PASER's, and rows inside a cluster are drawn at random unless ``--rank`` says otherwise.

When the goal is a new domain rather than recovery, the anchor may throw away what is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.selectors.budgets.strata import allocation_table, group_by_cluster, plan_strata, take_best
from curate.selectors.candidates import Candidates, find_candidates, required, set_aside
from curate.selectors.decision import decide
from curate.selectors.ranking.orders import efficiency, worst_share
from curate.selectors.validation import check_choice, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Pool, Selection


@dataclass(frozen=True)
class AnchoredSettings:
    """Settings of `select`."""

    anchor_share: float = 0.30
    """Share of each cluster that is set aside because the original model finds it least likely, [0, 1)."""
    rank: Literal["random", "ies", "excess"] = "random"
    """What is taken first inside a cluster: a ``random`` draw, PASER's ``ies``, or the largest ``excess`` =
    nll_compressed - nll_original."""

    def __post_init__(self) -> None:
        """Refuse values that cannot mean anything, naming the flag."""
        check_number("--anchor-share", self.anchor_share, 0.0, 1.0, below=True)
        check_choice("--rank", self.rank, ("random", "ies", "excess"))


def needs(settings: AnchoredSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads of a pool under `settings`."""
    wanted = {"clusters", "scores", "cds", "nll_original"}
    return frozenset(wanted | {"nll_compressed"} if settings.rank == "excess" else wanted)


def select(pool: Pool, budget: int, in_tokens: bool, settings: AnchoredSettings, rng: np.random.Generator) -> Selection:
    """Return the anchored selection.

    Parameters and errors are those of `curate.selectors.methods.paser.select`; `rng` is read by ``rank="random"`` only.
    Pinned rows are never set aside.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "anchored")
    cluster = required(pool.cluster, "clusters", "anchored")
    candidates = set_aside(candidates, _unlikely(pool, candidates, cluster, settings.anchor_share), "anchor")
    strata = group_by_cluster(candidates, cluster)
    plan = plan_strata(candidates, strata, pool.signals, "degradation", budget)
    score = _score(pool, candidates.rows, settings, rng)
    taken = take_best(candidates, strata, plan, score)
    table = allocation_table(candidates, strata, plan, taken)
    return decide(candidates, taken, budget, score=score, allocation=table, warnings=plan.warnings)


def _unlikely(pool: Pool, candidates: Candidates, cluster: NDArray[np.int32], share: float) -> NDArray[np.bool_]:
    """Return a mask over the competing rows: in each cluster the ⌊share · size⌋ with the highest nll_original."""
    dropped = np.zeros(len(candidates.rows), dtype=np.bool_)
    nll, stratum_of = pool.signals["nll_original"][candidates.rows], cluster[candidates.rows]
    order = np.argsort(stratum_of, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(stratum_of[order])) + 1):
        dropped[places] = worst_share(nll[places], share)
    return dropped


def _score(
    pool: Pool, rows: NDArray[np.int64], settings: AnchoredSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    if settings.rank == "random":
        return rng.random(len(rows))
    if settings.rank == "excess":
        return pool.signals["nll_compressed"][rows] - pool.signals["nll_original"][rows]
    return efficiency(pool.signals["cds"][rows], pool.n_prompt_tokens[rows], pool.n_response_tokens[rows])
