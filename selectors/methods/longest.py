"""Longest: keeps the rows with the most response tokens.

Score = ``n_response_tokens`` after truncation, largest first. Source: "Long Is More for Alignment", arXiv 2402.04833,
a simple baseline that is hard to beat. Departure: ties, which are common, go by example id, not corpus order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.candidates import find_candidates
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import best_first

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool


@dataclass(frozen=True)
class LongestSettings:
    """Longest has no settings."""


def needs(settings: LongestSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool."""
    return frozenset({"tokens"})


def select(pool: Pool, budget: int, in_tokens: bool, settings: LongestSettings, rng: np.random.Generator) -> Decision:
    """Return the longest rows; parameters and errors are those of `curate.selectors.methods.paser.select`.

    `rng` is not used.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "longest")
    score = pool.n_response_tokens[candidates.rows].astype(np.float64)
    return take_in_order(candidates, best_first(score), budget, score)
