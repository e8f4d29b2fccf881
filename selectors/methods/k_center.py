"""k-center: the greedy farthest-first cover of the embedding space (Gonzalez 1985; core sets: arXiv 1708.00489).

Each pick is the row whose nearest pick is farthest away: arg max_i min_{c picked} ‖e_i - c‖, which for unit rows is the
smallest largest cosine. Exact: O(n · picks · width) multiplications, made fast by keeping them in matrix products.
A million rows at a tenth of them is 10^13 multiplications, hours rather than seconds: use a smaller budget there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.candidates import budget_after_pins, find_candidates, required, set_aside
from curate.selectors.decision import decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Pool, Selection

_FRONT = 4096
"""Rows watched pick by pick: small enough for a processor's cache at a few hundred dimensions."""
_BLOCK = 8192
_CENTRES = 512
_GONE = np.float32(np.inf)


@dataclass(frozen=True)
class KCenterSettings:
    """k-center has no settings."""


def needs(settings: KCenterSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads of a pool."""
    return frozenset({"embeddings", "scores"} if in_tokens else {"embeddings"})


def select(pool: Pool, budget: int, in_tokens: bool, settings: KCenterSettings, rng: np.random.Generator) -> Selection:
    """Return the farthest-first cover, from the pins, or else from a random row.

    Parameters and errors are those of `curate.selectors.methods.paser.select`. The ledger's score is the distance of a
    kept row to the nearest row picked before it, in [0, 2]; NaN for the first and for rows left out.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "k-center")
    embeddings = required(pool.embeddings, "embeddings", "k-center")
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
    """Return the places picked, first first, and the distance of each to the nearest pick before it (NaN for `start`).

    Parameters
    ----------
    points : ndarray of shape (m, width), float32
        Unit rows.
    cost : ndarray of shape (m,)
        Cost of each row; rows that cost more than what is left are passed over.
    room : int
        What may be spent.
    centres : ndarray of shape (c, width), float32
        Rows that count as picked already.
    start : int, optional
        Place of the first pick where there are no centres.

    Notes
    -----
    Similarities only rise as rows are picked. So the rows least similar now (the front) hold the next pick until none
    of them stays below the most dissimilar row outside; only they are updated pick by pick, all others in one product
    per front. Ties go to the smaller place.
    """
    nearest = np.full(len(points), -_GONE, dtype=np.float32)
    _raise(nearest, points, centres)
    picks: list[int] = []
    similarity: list[float] = []
    while True:
        nearest[cost > remaining] = _GONE
        nearest[picks] = _GONE
        place = start if start is not None and not picks else int(np.argmin(nearest)) if len(nearest) else -1
        if place < 0 or nearest[place] == _GONE:
            break
        remaining = _walk_front(points, cost, remaining, nearest, place, picks, similarity)
    cosine = np.asarray(similarity, dtype=np.float64)
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
    """Pick `place` and what follows it inside one front; append, update `nearest`, return the room left."""
    front = _least(nearest, _FRONT)
    outside = np.ones(len(nearest), dtype=np.bool_)
    outside[front] = False
    bar = nearest[outside].min(initial=_GONE)
    rows, prices, local = points[front], cost[front], nearest[front]
    begun, least = len(picks), nearest[place]
    while True:
        picks.append(place)
        similarity.append(float(least))
        remaining -= int(cost[place])
        np.maximum(local, rows @ points[place], out=local)
        local[(front == place) | (prices > remaining)] = _GONE
        best = int(np.argmin(local))
        place, least = int(front[best]), local[best]
        if least >= bar:
            break
    _raise(nearest, points, points[picks[begun:]])
    return remaining


def _least(values: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return the places of the `n` smallest values, ascending by place."""
    if len(values) <= n:
        return np.arange(len(values))
    return np.sort(np.argpartition(values, n)[:n])


def _raise(nearest: NDArray[np.float32], points: NDArray[np.float32], centres: NDArray[np.float32]) -> None:
    """Raise each row's largest cosine to a centre, in place, by the cosines to more `centres`."""
    for first in range(0, len(centres), _CENTRES):
        some = centres[first : first + _CENTRES].T
        for start in range(0, len(points), _BLOCK):
            block = slice(start, start + _BLOCK)
            np.maximum(nearest[block], (points[block] @ some).max(axis=1), out=nearest[block])
