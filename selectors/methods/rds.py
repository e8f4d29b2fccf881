"""RDS+: keeps the rows whose mean hidden state is most like that of their group, or of the rows of a target file.

r_i = Σ_t t·h_t / Σ_t t over all tokens of row i, scaled to unit length. With ``--target FILE`` the file's rows take
turns, each the unused row with the largest cosine to it: the published method. Without, the groups take turns in the
shares of the mixture, each the unused row with the largest ⟨r_i, mean of r over the others of its group⟩.

Source: RDS+ of Ivison et al., arXiv 2503.01807 §3; the baseline of arXiv 2602.14696. Departure: the groups stand for
queries where there are none, in equal turns by default (``--allocation uniform``). The states are those of the model
about to be trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.schemas.defaults import option
from curate.selectors.budgets.mixture import MixtureSettings, mixture_needs, take_in_shares, vector_candidates
from curate.selectors.candidates import budget_after_pins
from curate.selectors.decision import decide
from curate.selectors.ranking.alignment import alignment_within, round_robin_picks

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool
    from curate.selectors.budgets.strata import Allocation


@dataclass(frozen=True)
class RdsSettings(MixtureSettings):
    """Settings of `select`."""

    allocation: Allocation = option(
        "uniform", "Budget per group: degradation, tempered, proportional, uniform or recoverability."
    )


def needs(settings: RdsSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool under `settings`."""
    return mixture_needs(settings) | {"states"}


def select(pool: Pool, budget: int, in_tokens: bool, settings: RdsSettings, rng: np.random.Generator) -> Decision:
    """Return the most similar rows. Deterministic: `rng` is not used.

    Parameters and errors are those of `curate.selectors.methods.paser.select`. The ledger's score is the cosine to the
    target that took a row, NaN for rows that none took; without a target that to the mean of its group, times the
    length of that mean.
    """
    candidates, vectors = vector_candidates(pool, in_tokens, needs(settings, in_tokens), "rds")
    rows = candidates.rows
    if pool.target is None:
        return take_in_shares(
            pool, candidates, budget, settings, "rds", lambda group: alignment_within(vectors, rows, group)
        )
    queries = pool.target.unit[np.isfinite(pool.target.unit[:, 0])].astype(np.float32)
    cosine = queries @ vectors.unit[rows].astype(np.float32).T
    remaining = budget_after_pins(candidates, budget)
    taken, similarity = round_robin_picks(cosine, candidates.cost[rows], remaining)
    score = np.full(len(rows), np.nan)
    score[taken] = similarity
    return decide(candidates, taken, budget, score=score)
