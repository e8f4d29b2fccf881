"""k-center: keeps rows that cover the embedding space, each the farthest from all rows picked before it.

Pick arg max_i min_{c picked} ‖e_i − c‖ (greedy farthest-first traversal); for unit rows ‖a − b‖² = 2 − 2 cos(a, b), so
that is the row whose largest cosine to a pick is smallest.

Source: Gonzalez 1985, a 2-approximation of k-center; as core-set selection, arXiv 1708.00489. No departure; ties go
by example id. Exact, O(n · picks · width) multiplications in matrix products: a tenth of a million rows at width 384
takes hours, so use a smaller budget there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.candidates import budget_after_pins, find_candidates, required, set_aside
from curate.selectors.decision import decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Decision, Pool

_FRONT = 4096
"""Rows updated after every pick: few enough for a processor's cache at a few hundred dimensions."""
_BLOCK = 8192
"""Rows of one matrix product."""
_CENTRES = 512
"""Centres of one matrix product."""
_GONE = np.float32(np.inf)
"""Similarity of a row that can no longer be picked: never the smallest."""


@dataclass(frozen=True)
class KCenterSettings:
    """k-center has no settings."""


def needs(settings: KCenterSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool."""
    return frozenset({"embeddings", "tokens"} if in_tokens else {"embeddings"})


def select(pool: Pool, budget: int, in_tokens: bool, settings: KCenterSettings, rng: np.random.Generator) -> Decision:
    """Return the farthest-first cover, starting from the pins, or from a random row where there are none.

    Parameters and errors are those of `curate.selectors.methods.paser.select`. The ledger's score is the distance of a
    kept row to the nearest row picked before it, in [0, 2]; NaN for the first and for rows that are not kept.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "k-center")
    embeddings = required(pool.embeddings, "embeddings", "k-center")
    # A sum is finite only where every term is; it needs no boolean array of the size of the embeddings.
    finite = np.isfinite(embeddings[candidates.rows].sum(axis=1))
    candidates = set_aside(candidates, ~finite, "non_finite:embedding")
    remaining = budget_after_pins(candidates, budget)
    points = np.ascontiguousarray(embeddings[candidates.rows], dtype=np.float32)
    pins = embeddings[candidates.pins].astype(np.float32)
    start = None if len(pins) or not len(points) else int(rng.integers(len(points)))
    taken, distance = farthest_first(points, candidates.cost[candidates.rows], remaining, pins, start)
    score = np.full(len(points), np.nan)
    score[taken] = distance
    return decide(candidates, taken, budget, score=score)


def farthest_first(
    points: NDArray[np.float32],
    cost: NDArray[np.int64],
    remaining: int,
    centres: NDArray[np.float32],
    start: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the positions picked, in order, and the distance of each to the nearest earlier pick (NaN for `start`).

    Parameters
    ----------
    points : ndarray of shape (m, width), float32
        Unit rows.
    cost : ndarray of shape (m,)
        Cost of each row; rows that cost more than what remains are skipped.
    room : int
        Budget, in the unit of `cost`.
    centres : ndarray of shape (c, width), float32
        Rows that count as picked already.
    start : int, optional
        Position of the first pick where there are no centres.

    Notes
    -----
    A row's largest cosine to a pick can only rise. Hence the rows with the smallest values now (the front) contain the
    next pick for as long as one of them stays below the smallest value outside the front. Only the front is updated
    after every pick; all other rows are updated in one matrix product per front. Ties go to the smaller position.
    """
    nearest = np.full(len(points), -_GONE, dtype=np.float32)
    _raise(nearest, points, centres)
    picks: list[int] = []
    similarity: list[float] = []
    while True:
        # The budget only shrinks: a row that does not fit now never will.
        nearest[cost > remaining] = _GONE
        nearest[picks] = _GONE
        place = start if start is not None and not picks else int(np.argmin(nearest)) if len(nearest) else -1
        if place < 0 or nearest[place] == _GONE:
            break
        remaining = _walk_front(points, cost, remaining, nearest, place, picks, similarity)
    cosine = np.asarray(similarity, dtype=np.float64)
    # Rounding can push a cosine of equal rows above 1, whose square root would be NaN.
    distance = np.sqrt(np.clip(2.0 - 2.0 * cosine, 0.0, 4.0))
    return np.asarray(picks, dtype=np.int64), np.where(np.isfinite(cosine), distance, np.nan)


def _walk_front(
    points: NDArray[np.float32],
    cost: NDArray[np.int64],
    remaining: int,
    nearest: NDArray[np.float32],
    place: int,
    picks: list[int],
    similarity: list[float],
) -> int:
    """Pick `place` and its successors inside one front; append to `picks`, update `nearest`, return what remains."""
    front = _least(nearest, _FRONT)
    outside = np.ones(len(nearest), dtype=np.bool_)
    outside[front] = False
    # Not updated inside the loop, so a lower bound of the values outside: stopping at it can only be too early.
    bound = nearest[outside].min(initial=_GONE)
    rows, prices, local = points[front], cost[front], nearest[front]
    n_before, least = len(picks), nearest[place]
    while True:
        picks.append(place)
        similarity.append(float(least))
        remaining -= int(cost[place])
        np.maximum(local, rows @ points[place], out=local)
        local[(front == place) | (prices > remaining)] = _GONE
        best = int(np.argmin(local))
        place, least = int(front[best]), local[best]
        if least >= bound:
            break
    _raise(nearest, points, points[picks[n_before:]])
    return remaining


def _least(values: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return the positions of the `n` smallest values, ascending."""
    if len(values) <= n:
        return np.arange(len(values))
    return np.sort(np.argpartition(values, n)[:n])


def _raise(nearest: NDArray[np.float32], points: NDArray[np.float32], centres: NDArray[np.float32]) -> None:
    """Update each row's largest cosine to a pick, in place, with the cosines to more `centres`."""
    for first in range(0, len(centres), _CENTRES):
        some = centres[first : first + _CENTRES].T
        for start in range(0, len(points), _BLOCK):
            block = slice(start, start + _BLOCK)
            np.maximum(nearest[block], (points[block] @ some).max(axis=1), out=nearest[block])
