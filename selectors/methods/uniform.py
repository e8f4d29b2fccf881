"""Uniform: draws rows at random without replacement, the baseline that every method has to beat.

The first rows of a random permutation that fit the budget. Budgets in rows need no model; budgets in tokens need token
counts. Source: none. The permutation is over rows in order of example id, so the draw does not depend on the order of
the corpus, and a larger budget in rows contains the smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.selectors.candidates import find_candidates
from curate.selectors.decision import take_in_order

if TYPE_CHECKING:
    import numpy as np

    from curate.schemas.selection import Decision, Pool


@dataclass(frozen=True)
class UniformSettings:
    """Uniform has no settings."""


def needs(settings: UniformSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool."""
    return frozenset({"tokens"} if in_tokens else set())


def select(pool: Pool, budget: int, in_tokens: bool, settings: UniformSettings, rng: np.random.Generator) -> Decision:
    """Return a uniform draw; parameters and errors are those of `curate.selectors.methods.paser.select`."""
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "uniform")
    return take_in_order(candidates, rng.permutation(len(candidates.rows)), budget)
