"""High-NLL: the rows that the model to be trained predicts worst, by ``nll_compressed`` in nats per token.

A baseline, and a warning: wrong answers are badly predicted too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.selectors.candidates import find_candidates
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import best_first

if TYPE_CHECKING:
    import numpy as np

    from curate.schemas.selection import Pool, Selection


@dataclass(frozen=True)
class HighNllSettings:
    """High-NLL has no settings."""


def needs(settings: HighNllSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads of a pool."""
    return frozenset({"scores", "nll_compressed"})


def select(pool: Pool, budget: int, in_tokens: bool, settings: HighNllSettings, rng: np.random.Generator) -> Selection:
    """Return the rows of highest loss; parameters and errors are those of `curate.selectors.methods.paser.select`.

    `rng` is not read.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "high-nll")
    score = pool.signals["nll_compressed"][candidates.rows]
    return take_in_order(candidates, best_first(score), budget, score)
