"""Uniform: draws rows at random without replacement, the baseline that every method has to beat.

The first rows of a random order that fit the budget. Budgets in rows need no model; budgets in tokens need token
counts. Source: none. The order is by a digest of seed and example id, so it depends neither on the order of the corpus
nor on its other rows: a corpus that grows changes few rows of the draw, and a larger budget in rows contains a smaller
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.selectors.candidates import find_candidates
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import hashed_order

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
    return take_in_order(candidates, hashed_order(pool.example_id[candidates.rows], rng), budget)
