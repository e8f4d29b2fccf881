"""Reference selection methods: loops and sets."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from references.budgets import allocate_loop

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def efficiency_loop(cds: float, n_prompt: float, n_response: float) -> float:
    return cds / math.log(max((n_prompt + n_response) ** 2, math.e))


def closeness_loop(don: Iterable[float], nod: Iterable[float], don_weight: float = 0.5) -> list[float]:
    don, nod = list(don), list(nod)
    norms = [math.sqrt(math.fsum(x * x for x in column)) or 1.0 for column in (don, nod)]
    rows = [(don_weight * a / norms[0], (1 - don_weight) * b / norms[1]) for a, b in zip(don, nod, strict=True)]
    best = (max(a for a, _ in rows), min(b for _, b in rows))
    worst = (min(a for a, _ in rows), max(b for _, b in rows))
    result = []
    for row in rows:
        plus, minus = math.dist(row, best), math.dist(row, worst)
        result.append(minus / (plus + minus) if plus + minus > 0 else 0.5)
    return result


class GraphLoop:
    """PASER's concept graph as the list of accepted concept sets; everything is recounted for every query."""

    def __init__(self, expectation: float) -> None:
        self.expectation = expectation
        self.accepted: list[tuple[int, set[int]]] = []

    def conflicts(self, concepts: set[int]) -> list[tuple[int, int]]:
        conflicting = []
        for a, b in combinations(sorted(concepts), 2):
            n_a = sum(a in held for _, held in self.accepted)
            n_b = sum(b in held for _, held in self.accepted)
            linked = any({a, b} <= held for _, held in self.accepted)
            if n_a and n_b and not linked and n_a * n_b >= self.expectation * len(self.accepted):
                conflicting.append((a, b))
        return conflicting

    def rival(self, concepts: set[int]) -> int:
        pairs = self.conflicts(concepts)
        wanted = set(pairs[0]) if pairs else concepts
        return next(row for row, held in self.accepted if held & wanted)


class PassLoop:
    """PASER's rounds as written: each unfilled cluster offers its next row; rows are numbers in order of example id."""

    def __init__(self, score, home, cost, concepts, quota, expectation, pins=()):
        self.score, self.home, self.cost, self.concepts = score, home, cost, concepts
        self.room = dict(quota)
        self.graph = GraphLoop(expectation)
        self.order: list[int] = []
        self.filled: list[int] = []
        self.refused: list[int] = []
        self.rival: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        for pin in pins:
            self.graph.accepted.append((pin, concepts[pin]))

    def _take(self, row, place):
        self.order.append(row)
        self.room[place] -= self.cost[row]

    def offer_in_rounds(self, rows, check):
        queues = {
            k: sorted((r for r in rows if self.home[r] == k), key=lambda r: (-self.score[r], r)) for k in self.room
        }
        while any(queues.values()):
            heads = [(queue.pop(0), k) for k, queue in queues.items() if queue]
            for row, k in sorted(heads, key=lambda head: (-self.score[head[0]], head[0])):
                self._offer(row, k, check)

    def _offer(self, row, place, check):
        if self.cost[row] > self.room[place]:
            return
        if check and self.graph.conflicts(self.concepts[row]):
            self.refused.append(row)
            return
        self.graph.accepted.append((row, self.concepts[row]))
        self._take(row, place)

    def settle(self, refused):
        for row in refused:
            self.counts[row] = len(self.graph.conflicts(self.concepts[row]))
            self.rival[row] = self.graph.rival(self.concepts[row])

    def refill(self, rows, place_of):
        for row in sorted(rows, key=lambda r: (self.counts[r], -self.score[r], r)):
            if self.cost[row] <= self.room[place_of(row)]:
                self._take(row, place_of(row))
                self.filled.append(row)

    def run(self, rows, fill, check=True):
        queue = self.queue(rows)
        self.offer_in_rounds(rows, check)
        self.settle(self.refused)
        if fill:
            self.refill(list(self.refused), lambda row: self.home[row])
        if fill or not self.refused:
            self.close_gap(queue, fill, check)

    def close_gap(self, queue, fill, check):
        """Offer what clusters could not spend to all remaining rows, in the order of the rounds."""
        self.room["all"] = sum(self.room.values())
        before = set(self.refused)
        for row in [row for row in queue if row not in self.order and row not in before]:
            self._offer(row, "all", check)
        self.settle([row for row in self.refused if row not in before])
        if fill:
            late = [row for row in self.refused if row not in before]
            self.refill(late, lambda row: "all")
            self.refill([row for row in before if row not in self.filled], lambda row: "all")

    def queue(self, rows):
        place: dict[int, int] = {}
        for k in self.room:
            members = sorted((r for r in rows if self.home[r] == k), key=lambda r: (-self.score[r], r))
            place |= {row: i for i, row in enumerate(members)}
        return sorted(rows, key=lambda r: (place[r], -self.score[r], r))

    def run_soft(self, rows):
        judged: dict[int, float] = {}
        waiting = set(rows)

        def best(k):
            fits = [r for r in waiting if self.home[r] == k and self.cost[r] <= self.room[k]]
            return min(fits, key=lambda r: (-judged.get(r, self.score[r]), r), default=None)

        while heads := [(row, k) for k in list(self.room) if (row := best(k)) is not None]:
            for _, k in sorted(heads, key=lambda head: (-judged.get(head[0], self.score[head[0]]), head[0])):
                while (row := best(k)) not in judged:
                    n = len(self.concepts[row])
                    share = len(self.graph.conflicts(self.concepts[row])) / max(n * (n - 1) // 2, 1)
                    judged[row] = self.score[row] * (1 - share)
                waiting.discard(row)
                self.graph.accepted.append((row, self.concepts[row]))
                self._take(row, k)
        self.room["all"] = sum(self.room.values())
        for row in self.queue_without("all", rows):
            if row not in self.order and self.cost[row] <= self.room["all"]:
                self._take(row, "all")

    def queue_without(self, name, rows):
        spare = self.room.pop(name)
        queue = self.queue(rows)
        self.room[name] = spare
        return queue


def paser_loop(pool, budget, in_tokens, mode, expectation, fill):
    """PASER from a pool to (kept rows in order, refused rows with their rivals, filled rows), all as pool rows."""
    ids = np.argsort(pool.example_id)
    pinned = np.zeros(len(pool), bool) if pool.pinned is None else pool.pinned
    rows = [int(i) for i in ids if pool.eligible[i] and not pinned[i]]
    pins = [int(i) for i in ids if pool.eligible[i] and pinned[i]]
    everyone = rows + pins
    cost = [int(pool.n_prompt_tokens[i] + pool.n_response_tokens[i]) if in_tokens else 1 for i in everyone]
    home = [int(pool.cluster[i]) for i in everyone]
    offsets, values = pool.concepts
    concepts = [set(values[offsets[i] : offsets[i + 1]].tolist()) for i in everyone]
    columns = (pool.signals["cds"], pool.n_prompt_tokens, pool.n_response_tokens)
    score = [efficiency_loop(*(float(column[i]) for column in columns)) for i in rows]
    clusters = list(dict.fromkeys(home))
    places = range(len(everyone))
    lower = [sum(cost[i] for i in places[len(rows) :] if home[i] == k) for k in clusters]
    upper = [sum(cost[i] for i in places if home[i] == k) for k in clusters]
    weight = [np.mean([pool.signals["cds"][everyone[i]] for i in places if home[i] == k]) for k in clusters]
    quota = {k: n - lo for k, n, lo in zip(clusters, allocate_loop(weight, lower, upper, budget), lower, strict=True)}
    loop = PassLoop(score, home, cost, concepts, quota, expectation, pins=list(places)[len(rows) :])
    if mode == "soft":
        loop.run_soft(range(len(rows)))
    elif mode == "off":
        loop.run(range(len(rows)), fill, check=False)
    else:
        loop.run(range(len(rows)), fill)
    out = [row for row in loop.refused if row not in loop.filled]
    return (
        pins + [everyone[row] for row in loop.order],
        {everyone[row]: everyone[loop.rival[row]] for row in out},
        [everyone[row] for row in loop.filled],
    )


def coverage_loop(pool: Any, quota: dict[int, int], rows: Sequence[int]) -> tuple[set[int], dict[int, float]]:
    """Rows that groups take in turn, one dot product at a time; `quota` in rows by cluster, `rows` by example id."""
    full = {i: pool.vectors.length[i] * pool.vectors.unit[i].astype(float) for i in rows}
    score = {}
    for i in rows:
        others = [full[j] for j in rows if j != i and pool.cluster[j] == pool.cluster[i]]
        score[i] = float(np.mean(others, axis=0) @ pool.vectors.unit[i].astype(float)) if others else 0.0
    taken: set[int] = set()
    for k, n in quota.items():
        members = [i for i in rows if pool.cluster[i] == k]
        for _ in range(n):
            taken.add(max((i for i in members if i not in taken), key=lambda i: (score[i], -rows.index(i))))
    return taken, score


def rds_loop(queries: np.ndarray, points: np.ndarray, n_picks: int) -> list[int]:
    picks: list[int] = []
    while len(picks) < n_picks:
        query = queries[len(picks) % len(queries)]
        left = [i for i in range(len(points)) if i not in picks]
        picks.append(max(left, key=lambda i: (float(query @ points[i]), -i)))
    return picks


def farthest_first_loop(points: np.ndarray, n_picks: int, start: int) -> list[int]:
    picks = [start]
    while len(picks) < n_picks:
        gaps = [
            -1.0 if i in picks else min(float(((p - points[j]) ** 2).sum()) for j in picks)
            for i, p in enumerate(points)
        ]
        picks.append(max(range(len(points)), key=lambda i: (gaps[i], -i)))
    return picks
