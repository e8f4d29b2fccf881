"""Anchored: drops the rows that the original model finds least likely, then selects with PASER's budgets.

In each cluster k the ⌊share · size_k⌋ rows with the highest ``nll_original`` get the reason ``filtered:anchor``. The
budget is n_k ∝ B · CDS_k / Σ CDS with CDS_k the mean ``cds`` of the remaining rows; inside a cluster rows are drawn at
random, or ranked by ``--rank``.

Source: ours (docs/methods.md), on the allocation of PASER (arXiv 2502.12594 §3.2). Recovery aims at the original model,
so its likelihood is the natural test of whether a response is right. Departs from PASER in that filter, in having no
concept graph, and in the random order. For a new domain rather than recovery, the filter may remove what is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.schemas.defaults import option
from curate.selectors.budgets.allocation_table import allocation_table
from curate.selectors.budgets.strata import group_by_cluster, plan_strata, take_best
from curate.selectors.candidates import Candidates, find_candidates, required, set_aside
from curate.selectors.decision import decide
from curate.selectors.ranking.orders import efficiency, worst_share
from curate.selectors.validation import check_choice, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Decision, Pool


@dataclass(frozen=True)
class AnchoredSettings:
    """Settings of `select`."""

    anchor_share: float = option(0.30, "Share of each cluster removed as least likely to the original, 0 to below 1.")
    rank: Literal["random", "ies", "excess"] = option(
        "random", "Order inside a cluster: random, ies or excess (nll_compressed - nll_original)."
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, naming the flag."""
        check_number("--anchor-share", self.anchor_share, 0.0, 1.0, below=True)
        check_choice("--rank", self.rank, ("random", "ies", "excess"))


def needs(settings: AnchoredSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool under `settings`."""
    read = {"clusters", "tokens", "cds", "nll_original"}
    return frozenset(read | {"nll_compressed"} if settings.rank == "excess" else read)


def select(pool: Pool, budget: int, in_tokens: bool, settings: AnchoredSettings, rng: np.random.Generator) -> Decision:
    """Return the anchored selection.

    Parameters and errors are those of `curate.selectors.methods.paser.select`; `rng` is used by ``rank="random"`` only.
    Pinned rows are never filtered out.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "anchored")
    cluster = required(pool.cluster, "clusters", "anchored")
    # Before the budgets: CDS_k must be the mean over the rows that can still be kept.
    candidates = set_aside(candidates, _unlikely(pool, candidates, cluster, settings.anchor_share), "anchor")
    strata = group_by_cluster(candidates, cluster)
    plan = plan_strata(candidates, strata, pool.signals, "degradation", budget)
    score = _score(pool, candidates.rows, settings, rng)
    taken = take_best(candidates, strata, plan, score)
    table = allocation_table(strata, plan, taken)
    return decide(candidates, taken, budget, score=score, allocation=table, warnings=plan.warnings)


def _unlikely(pool: Pool, candidates: Candidates, cluster: NDArray[np.int32], share: float) -> NDArray[np.bool_]:
    """Return a mask of shape (m,): the ⌊share · size⌋ candidates of each cluster with the highest nll_original."""
    dropped = np.zeros(len(candidates.rows), dtype=np.bool_)
    nll, own_cluster = pool.signals["nll_original"][candidates.rows], cluster[candidates.rows]
    # A stable sort keeps the order of example ids inside a cluster, by which `worst_share` breaks ties.
    order = np.argsort(own_cluster, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(own_cluster[order])) + 1):
        dropped[places] = worst_share(nll[places], share)
    return dropped


def _score(
    pool: Pool, rows: NDArray[np.int64], settings: AnchoredSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the score of each candidate, shape (m,), larger = taken earlier."""
    if settings.rank == "random":
        return rng.random(len(rows))
    if settings.rank == "excess":
        return pool.signals["nll_compressed"][rows] - pool.signals["nll_original"][rows]
    return efficiency(pool.signals["cds"][rows], pool.n_prompt_tokens[rows], pool.n_response_tokens[rows])
