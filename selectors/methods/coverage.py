"""Coverage: keeps the rows whose gradients point where the recovery of their group has to go.

With φ_i the sketched gradient of row i's mean KL divergence with respect to the output layer
(`curate.engines.score.sketch`) and ḡ_q the mean of φ over group q, the groups take turns in the shares of the mixture,
and group q takes its unused row with the largest

    s_i = ⟨φ_i, ḡ_q⟩ / ‖φ_i‖,    ḡ_q without row i itself.

So each turn adds as much as it can to F(S) = Σ_q Σ_{i ∈ S_q} s_i under the budgets of the groups. F is a sum over rows,
hence the greedy order reaches its maximum: the rows along whose gradients a step of fixed length lowers the divergence
of the rest of their group most, to first order.

Source: ours (docs/methods.md), in the place of LESS's warm-up and backward passes (arXiv 2402.04333); round-robin after
arXiv 2602.14696. With ``--target`` ḡ is the mean over the rows of a file and the whole pool competes for it. A row is
left out of its group's mean, since otherwise a long gradient would be its own reason. Redundant rows are not
discounted: ``--near-duplicates`` is for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.budgets.mixture import MixtureSettings, mixture_needs, take_in_shares, vector_candidates
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.alignment import alignment_to, alignment_within, mean_vector
from curate.selectors.ranking.orders import best_first

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool


@dataclass(frozen=True)
class CoverageSettings(MixtureSettings):
    """Settings of `select`."""


def needs(settings: CoverageSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool under `settings`."""
    return mixture_needs(settings) | {"gradients"}


def select(pool: Pool, budget: int, in_tokens: bool, settings: CoverageSettings, rng: np.random.Generator) -> Decision:
    """Return the covering selection. Deterministic: `rng` is not used.

    Parameters and errors are those of `curate.selectors.methods.paser.select`. The ledger's score is s_i, in nats per
    unit of the output layer's weights.
    """
    candidates, vectors = vector_candidates(pool, in_tokens, needs(settings, in_tokens), "coverage")
    rows = candidates.rows
    if pool.target is not None:
        usable = np.flatnonzero(np.isfinite(pool.target.length))
        score = alignment_to(vectors, rows, mean_vector(pool.target, usable))
        return take_in_order(candidates, best_first(score), budget, score)
    return take_in_shares(
        pool, candidates, budget, settings, "coverage", lambda group: alignment_within(vectors, rows, group)
    )
