"""High-NLL: keeps the rows that the compressed model predicts worst.

Score = ``nll_compressed`` = −(1/T) Σ_t log p(y_t | x, y_<t), nats per token over the T response tokens, largest first.
Source: none; the hard-example baseline. Wrong responses are predicted badly as well, so it collects them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.selectors.candidates import find_candidates
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import best_first

if TYPE_CHECKING:
    import numpy as np

    from curate.schemas.selection import Decision, Pool


@dataclass(frozen=True)
class HighNllSettings:
    """High-NLL has no settings."""


def needs(settings: HighNllSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool."""
    return frozenset({"tokens", "nll_compressed"})


def select(pool: Pool, budget: int, in_tokens: bool, settings: HighNllSettings, rng: np.random.Generator) -> Decision:
    """Return the rows of highest loss; parameters and errors are those of `curate.selectors.methods.paser.select`.

    `rng` is not used.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "high-nll")
    score = pool.signals["nll_compressed"][candidates.rows]
    return take_in_order(candidates, best_first(score), budget, score)
