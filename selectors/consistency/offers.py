"""PASER's consistency pass: offers rows in order and refuses those that conflict with the rows already taken.

Source: PASER, arXiv 2502.12594 §3.3. The pass is sequential, because every accepted row changes the graph, and exact.
It is fast because rows of full strata are skipped in blocks, concepts too rare to conflict are left out beforehand, and
most refusals are found in arrays (`curate.selectors.consistency.pairs.Screen`).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from curate.selectors.row_costs import first_fit_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.selectors.consistency.graph import ConceptGraph, ConceptLists
    from curate.selectors.consistency.pairs import Screen

_BLOCK = 16_384
"""Rows of the queue that are offered together."""
_SMALL_BLOCK = 1_024
"""Rows of one stratum whose concepts are read at a time; small, because most strata stop early."""


def offer(
    graph: ConceptGraph,
    screen: Screen | None,
    lists: ConceptLists,
    queue: NDArray[np.int64],
    stratum: NDArray[np.int64],
    cost: NDArray[np.int64],
    remaining: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offer rows in order: take those that fit and do not conflict (modes ``expected`` and ``strict``).

    Parameters
    ----------
    graph : ConceptGraph
        Graph of the rows accepted so far; the rows taken are added.
    screen : Screen, optional
        The same rows in arrays, if refusals are frequent enough for it to save time. It does not change the outcome.
    lists : ConceptLists
        Concepts by position.
    queue : ndarray of int64
        Positions in the order of offering.
    stratum, cost : ndarray of shape (m,)
        Stratum and cost of the row at each position.
    room : ndarray of shape (K,), int64
        Remaining budget of each stratum; reduced in place.

    Returns
    -------
    taken, refused : ndarray of int64
        Positions, in the order of the queue. Rows that did not fit are in neither.
    """
    taken: list[NDArray[np.int64]] = []
    refused: list[NDArray[np.int64]] = []
    for start in range(0, len(queue), _BLOCK):
        block = queue[start : start + _BLOCK]
        # Budgets only shrink: what does not fit at the start of the block does not fit at its turn.
        block = block[remaining[stratum[block]] >= cost[block]]
        if len(block):
            fits, accepted = _offer_block(graph, screen, lists, block, stratum, cost, remaining)
            taken.append(block[fits & accepted])
            refused.append(block[fits & ~accepted])
            if screen is not None:
                screen.learn(lists, taken[-1])
    return _joined(taken), _joined(refused)


def _offer_block(
    graph: ConceptGraph,
    screen: Screen | None,
    lists: ConceptLists,
    block: NDArray[np.int64],
    stratum: NDArray[np.int64],
    cost: NDArray[np.int64],
    remaining: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each row of `block` whether it fitted at its turn, and whether it was accepted."""
    sure = np.zeros(len(block), dtype=np.bool_) if screen is None else screen.refuses(lists, block)
    concepts = iter(lists.of(block[~sure]))
    # Python numbers: indexing an array by a scalar is ten times slower than a list.
    left = remaining.tolist()
    fitted, accepted = [], []
    for is_refused, own_stratum, price in zip(
        sure.tolist(), stratum[block].tolist(), cost[block].tolist(), strict=True
    ):
        row_concepts = None if is_refused else next(concepts)
        fits = left[own_stratum] >= price
        taken = fits and row_concepts is not None and not graph.refuses(row_concepts)
        if taken and row_concepts is not None:
            graph.accept(row_concepts)
            left[own_stratum] -= price
        fitted.append(fits)
        accepted.append(taken)
    remaining[:] = left
    return np.asarray(fitted), np.asarray(accepted)


def offer_discounted(
    graph: ConceptGraph,
    lists: ConceptLists,
    score: NDArray[np.float64],
    stratum: NDArray[np.int64],
    cost: NDArray[np.int64],
    remaining: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Take rows by score · (1 − share of their pairs that conflict) (mode ``soft``); no row is refused.

    In each round every unfilled stratum takes its best row, strata in order of those rows' scores, then positions. A
    row's discount is computed once, when it first heads its stratum, against the rows accepted by then.

    Parameters are those of `offer`, with `score` >= 0 of shape (m,) instead of the queue. Returns the positions taken.
    """
    taken: list[int] = []
    left = remaining.tolist()
    by_stratum = np.split(np.lexsort((-score, stratum)), np.cumsum(np.bincount(stratum, minlength=len(left)))[:-1])
    queues = [_Discounting(_rows(lists, places, score, cost)) for places in by_stratum]
    cheapest = [int(cost[places].min(initial=remaining.max() + 1)) for places in by_stratum]
    waiting = list(range(len(queues)))
    while waiting:
        heads = sorted(
            (head, own_stratum)
            for own_stratum in waiting
            if (head := queues[own_stratum].head(left[own_stratum])) is not None
        )
        for _, own_stratum in heads:
            row = queues[own_stratum].take(graph, left[own_stratum])
            graph.accept(row.concepts)
            taken.append(row.place)
            left[own_stratum] -= row.cost
        waiting = [own_stratum for _, own_stratum in heads if left[own_stratum] >= cheapest[own_stratum]]
    remaining[:] = left
    return np.asarray(taken, dtype=np.int64)


def refill(
    refused: NDArray[np.int64],
    conflicts: NDArray[np.int64],
    score: NDArray[np.float64],
    stratum: NDArray[np.int64],
    cost: NDArray[np.int64],
    remaining: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Take refused rows back while budget remains: fewest `conflicts` first, then largest score, then position.

    `refused` holds positions, `conflicts` is parallel to it; the others are as in `offer`. Returns the positions taken
    back; `remaining` is reduced in place.
    """
    queue = refused[np.lexsort((refused, -score[refused], conflicts))]
    back = queue[first_fit_within(stratum[queue], cost[queue], remaining)]
    np.subtract.at(remaining, stratum[back], cost[back])
    return back


class _QueuedRow(NamedTuple):
    """A row in a queue; smaller tuples are taken earlier."""

    key: float
    """−score, discounted once the row was judged."""
    place: int
    cost: int
    concepts: list[int]
    n_pairs: int


class _Discounting:
    """Rows of one stratum: those not judged yet, best raw score first, and a heap of those with a discounted score.

    A discount only lowers a score. So an unjudged row whose raw score is below the best judged one cannot be next, and
    rows are judged lazily.
    """

    def __init__(self, fresh: Iterator[_QueuedRow]) -> None:
        self._fresh = fresh
        self._next = next(fresh, None)
        self._judged: list[_QueuedRow] = []

    def head(self, remaining: int) -> tuple[float, int] | None:
        """Return (−score, position) of the best row that fits; drop rows at the front that do not."""
        while self._next is not None and self._next.cost > remaining:
            self._next = next(self._fresh, None)
        while self._judged and self._judged[0].cost > remaining:
            heapq.heappop(self._judged)
        return min((row[:2] for row in (self._next, *self._judged[:1]) if row is not None), default=None)

    def take(self, graph: ConceptGraph, remaining: int) -> _QueuedRow:
        """Remove and return the best row that fits, judging those that may be it; `head` must have returned one."""
        while self._next is not None and not (self._judged and self._judged[0][:2] < self._next[:2]):
            row, self._next = self._next, next(self._fresh, None)
            if row.cost <= remaining:
                share = sum(1 for _ in graph.conflicts(row.concepts)) / max(row.n_pairs, 1)
                heapq.heappush(self._judged, row._replace(key=row.key * (1.0 - share)))
        return heapq.heappop(self._judged)


def _rows(
    lists: ConceptLists, places: NDArray[np.int64], score: NDArray[np.float64], cost: NDArray[np.int64]
) -> Iterator[_QueuedRow]:
    """Yield the rows at the positions `places`, reading concepts one block at a time."""
    for start in range(0, len(places), _SMALL_BLOCK):
        block = places[start : start + _SMALL_BLOCK]
        columns = (-score[block], block, cost[block])
        n_pairs = lists.n_pairs[lists.rows[block]].tolist()
        yield from map(_QueuedRow, *(c.tolist() for c in columns), lists.of(block), n_pairs)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
