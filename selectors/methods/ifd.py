"""IFD: the rows whose instruction helps least to predict the response (arXiv 2308.12032; Superfiltering 2402.00530).

Score = ``ifd``, a ratio > 0; the largest below 1 first. Rows at or above 1, whose instruction makes the response less
likely, are held to be misaligned and set aside (reason ``filtered:ifd``), as the paper does.
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

    from curate.schemas.selection import Pool, Selection

_UNHELPFUL = 1.0


@dataclass(frozen=True)
class IfdSettings:
    """IFD has no settings."""


def needs(settings: IfdSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads of a pool."""
    return frozenset({"scores", "ifd"})


def select(pool: Pool, budget: int, in_tokens: bool, settings: IfdSettings, rng: np.random.Generator) -> Selection:
    """Return the rows of highest IFD below 1.

    Parameters and errors are those of
    `curate.selectors.methods.paser.select`.

    `rng` is not read.

    Raises
    ------
    InputError
        If no row is below 1 and none is pinned.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "ifd")
    values = pool.signals["ifd"]
    candidates = set_aside(candidates, values[candidates.rows] >= _UNHELPFUL, "ifd")
    if not len(candidates.rows) and not len(candidates.pins):
        raise InputError("ifd finds no row whose instruction helps (every ifd is 1 or more); choose another --method")
    score = values[candidates.rows]
    return take_in_order(candidates, best_first(score), budget, score)
