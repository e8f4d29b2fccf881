"""Full: keeps every eligible row, whatever the budget.

No score. Source: none; it is the upper reference that a selection is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.candidates import find_candidates
from curate.selectors.decision import take_in_order

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool


@dataclass(frozen=True)
class FullSettings:
    """Full has no settings."""


def needs(settings: FullSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool."""
    return frozenset({"tokens"} if in_tokens else set())


def select(pool: Pool, budget: int, in_tokens: bool, settings: FullSettings, rng: np.random.Generator) -> Decision:
    """Return every eligible row, by example id. Neither `budget` nor `rng` is used; the facts hold the cost."""
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "full")
    # The cost of everything as the budget, so that the ledger reports no shortfall.
    everything = int(candidates.cost[pool.eligible].sum())
    return take_in_order(candidates, np.arange(len(candidates.rows)), everything)
