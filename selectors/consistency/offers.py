"""PASER's consistency pass: rows are offered in turn and refused where their concepts contradict what was taken.

The pass is sequential by nature, since every accepted row changes the graph. It is exact; it is fast because rows of
full strata are skipped a block at a time and concepts too rare to conflict are left out beforehand. Knows nothing of
how strata got their budgets.
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
_SMALL_BLOCK = 1_024
"""Rows of one stratum whose concepts are read at a time: most strata stop early."""


def offer(
    graph: ConceptGraph,
    screen: Screen | None,
    lists: ConceptLists,
    queue: NDArray[np.int64],
    stratum: NDArray[np.int64],
    cost: NDArray[np.int64],
    remaining: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offer rows in turn: take those that fit and contradict nothing (modes ``expected`` and ``strict``).

    Parameters
    ----------
    graph : ConceptGraph
        What was accepted before; grows by the rows taken.
    screen : Screen, optional
        The same, where refusals are frequent enough to be worth finding many at a time. It changes no outcome.
    lists : ConceptLists
        Concepts by place.
    queue : ndarray of int64
        Places, first offered first.
    stratum, cost : ndarray of shape (m,)
        Stratum and cost of the row at each place.
    room : ndarray of shape (K,), int64
        What each stratum may still spend; reduced in place.

    Returns
    -------
    taken, refused : ndarray of int64
        Places, in the order of the queue. Rows that did not fit are in neither.
    """
    taken: list[NDArray[np.int64]] = []
    refused: list[NDArray[np.int64]] = []
    for start in range(0, len(queue), _BLOCK):
        block = queue[start : start + _BLOCK]
        block = block[remaining[stratum[block]] >= cost[block]]
        if len(block):
            asked, accepted = _offer_block(graph, screen, lists, block, stratum, cost, remaining)
            taken.append(block[asked & accepted])
            refused.append(block[asked & ~accepted])
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
    """Return, for each row of `block`, whether there was room for it at its turn, and whether it was accepted."""
    sure = np.zeros(len(block), dtype=np.bool_) if screen is None else screen.refuses(lists, block)
    concepts = iter(lists.of(block[~sure]))
    left = remaining.tolist()
    asked, accepted = [], []
    for hopeless, stratum_of, price in zip(sure.tolist(), stratum[block].tolist(), cost[block].tolist(), strict=True):
        mine = None if hopeless else next(concepts)
        fits = left[stratum_of] >= price
        taken = fits and mine is not None and not graph.refuses(mine)
        if taken and mine is not None:
            graph.accept(mine)
            left[stratum_of] -= price
        asked.append(fits)
        accepted.append(taken)
    remaining[:] = left
    return np.asarray(asked), np.asarray(accepted)


def offer_discounted(
    graph: ConceptGraph,
    lists: ConceptLists,
    score: NDArray[np.float64],
    stratum: NDArray[np.int64],
    cost: NDArray[np.int64],
    remaining: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Take rows by score times (1 - share of their pairs that conflict) (mode ``soft``): nothing is refused.

    In each round every unfilled stratum takes its best row, the strata in order of those rows' scores, then places. A
    row is judged once, when it first heads its stratum, against what had been accepted by then.

    Parameters are those of `offer`, with `score` >= 0 of shape (m,) in place of the queue. Returns the places taken.
    """
    taken: list[int] = []
    left = remaining.tolist()
    by_stratum = np.split(np.lexsort((-score, stratum)), np.cumsum(np.bincount(stratum, minlength=len(left)))[:-1])
    queues = [_Discounting(_rows(lists, places, score, cost)) for places in by_stratum]
    cheapest = [int(cost[places].min(initial=remaining.max() + 1)) for places in by_stratum]
    waiting = list(range(len(queues)))
    while waiting:
        heads = sorted(
            (head, stratum_of)
            for stratum_of in waiting
            if (head := queues[stratum_of].head(left[stratum_of])) is not None
        )
        for _, stratum_of in heads:
            row = queues[stratum_of].take(graph, left[stratum_of])
            graph.accept(row.concepts)
            taken.append(row.place)
            left[stratum_of] -= row.cost
        waiting = [stratum_of for _, stratum_of in heads if left[stratum_of] >= cheapest[stratum_of]]
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
    """Take refused rows back where room is left: fewest `conflicts` first, then largest score, then smallest place.

    `refused` holds places, `conflicts` is parallel to it; the others are as in `offer`. Returns the places taken back;
    `room` is reduced in place.
    """
    queue = refused[np.lexsort((refused, -score[refused], conflicts))]
    back = queue[first_fit_within(stratum[queue], cost[queue], remaining)]
    np.subtract.at(remaining, stratum[back], cost[back])
    return back


class _QueuedRow(NamedTuple):
    """A row in a queue; smaller sorts earlier."""

    key: float
    """Minus the score."""
    place: int
    cost: int
    concepts: list[int]
    n_pairs: int


class _Discounting:
    """One stratum's rows: those not judged yet, best raw score first, and a heap of those that are."""

    def __init__(self, fresh: Iterator[_QueuedRow]) -> None:
        self._fresh = fresh
        self._next = next(fresh, None)
        self._judged: list[_QueuedRow] = []

    def head(self, remaining: int) -> tuple[float, int] | None:
        """Return (minus score, place) of the best row that fits, discounted if it was judged; drop what does not."""
        while self._next is not None and self._next.cost > remaining:
            self._next = next(self._fresh, None)
        while self._judged and self._judged[0].cost > remaining:
            heapq.heappop(self._judged)
        return min((row[:2] for row in (self._next, *self._judged[:1]) if row is not None), default=None)

    def take(self, graph: ConceptGraph, remaining: int) -> _QueuedRow:
        """Remove and return the best row that fits, judging on the way those that might be it. `head` found one."""
        while self._next is not None and not (self._judged and self._judged[0][:2] < self._next[:2]):
            row, self._next = self._next, next(self._fresh, None)
            if row.cost <= remaining:
                share = sum(1 for _ in graph.conflicts(row.concepts)) / max(row.n_pairs, 1)
                heapq.heappush(self._judged, row._replace(key=row.key * (1.0 - share)))
        return heapq.heappop(self._judged)


def _rows(
    lists: ConceptLists, places: NDArray[np.int64], score: NDArray[np.float64], cost: NDArray[np.int64]
) -> Iterator[_QueuedRow]:
    """Yield the rows at `places`, reading concepts a block at a time."""
    for start in range(0, len(places), _SMALL_BLOCK):
        block = places[start : start + _SMALL_BLOCK]
        columns = (-score[block], block, cost[block])
        n_pairs = lists.n_pairs[lists.rows[block]].tolist()
        yield from map(_QueuedRow, *(c.tolist() for c in columns), lists.of(block), n_pairs)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
