"""IFD: keeps the rows whose instruction helps least to predict the response.

Score = ``ifd`` = exp(nll(response | instruction) − nll(response)), nll in nats per token; the largest below 1 first.
Rows at or above 1, whose instruction makes the response less likely, count as misaligned (reason ``filtered:ifd``).

Source: instruction-following difficulty, arXiv 2308.12032; with a small model, Superfiltering, arXiv 2402.00530.
Departure: the ratio is taken with the compressed model, the one to be trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError
from curate.selectors.candidates import find_candidates, set_aside
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import best_first

if TYPE_CHECKING:
    import numpy as np

    from curate.schemas.selection import Decision, Pool

_UNHELPFUL = 1.0
"""Ratio from which the instruction does not help."""


@dataclass(frozen=True)
class IfdSettings:
    """IFD has no settings."""


def needs(settings: IfdSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool."""
    return frozenset({"tokens", "ifd"})


def select(pool: Pool, budget: int, in_tokens: bool, settings: IfdSettings, rng: np.random.Generator) -> Decision:
    """Return the rows of highest IFD below 1.

    Other parameters and errors are those of `curate.selectors.methods.paser.select`; `rng` is not used.

    Raises
    ------
    InputError
        If no row is below 1 and none is pinned.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "ifd")
    values = pool.signals["ifd"]
    candidates = set_aside(candidates, values[candidates.rows] >= _UNHELPFUL, "ifd")
    if not len(candidates.rows) and not len(candidates.pins):
        raise InputError(
            "no row has an ifd below 1, so no instruction helps to predict its response; choose another --method"
        )
    score = values[candidates.rows]
    return take_in_order(candidates, best_first(score), budget, score)
