"""Pairs of concepts, many rows at once: what a finished graph says against rows, and which rows need no closer look.

The same rule as `concept_graph.ConceptGraph`, in arrays. Knows nothing of budgets and of the order of offers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.consistency.graph import ConceptLists

_BLOCK = 16_384
_SLOT_BITS = 25
"""A table of 2^25 flags, 32 MiB: at three million links nine of ten absent links are known to be absent."""
_LOCAL_BITS = 20
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Pairs:
    """All pairs a < b of the concepts of some rows, row by row, ascending."""

    row: NDArray[np.int64]
    """Number of the row among those asked for."""
    a: NDArray[np.int64]
    b: NDArray[np.int64]

    def keys(self, n_concepts: int) -> NDArray[np.int64]:
        """Return one number per pair, the same for the same pair."""
        return self.a * n_concepts + self.b


@dataclass(frozen=True)
class PairVerdict:
    """What a finished graph says against each of some rows."""

    conflicts: NDArray[np.int64]
    """Number of conflicting pairs."""
    rival: NDArray[np.int64]
    """Place of the earliest accepted row that holds one concept of the first conflicting pair (by ascending concept),
    or, where no pair conflicts any more by now, of the earliest accepted row that shares a concept; -1
    where none does."""


def pairs_of(lists: ConceptLists, places: NDArray[np.int64]) -> Pairs:
    """Return all pairs of concepts of the rows at `places`."""
    lengths, flat = lists.ragged(places)
    position = np.arange(len(flat))
    partners = np.repeat(np.cumsum(lengths), lengths) - 1 - position
    first = np.repeat(position, partners)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    return Pairs(np.repeat(np.repeat(np.arange(len(places)), lengths), partners), flat[first], flat[second])


class Screen:
    """Finds rows of a block that are sure to be refused, without asking the graph about each.

    A row is sure to be refused if one of its pairs conflicts when the block begins and no other row of the block can
    link that pair. Links are kept as flags in a table of hashed slots: a flag that is down proves that a pair is not
    linked; one that is up proves nothing, and the row is left to the graph.
    """

    def __init__(self, n_concepts: int, expectation: float) -> None:
        self._expectation = expectation
        self._n_concepts = n_concepts
        self._count = np.zeros(n_concepts, dtype=np.int64)
        self._n_accepted = 0
        self._linked = np.zeros(1 << _SLOT_BITS, dtype=np.bool_)

    def learn(self, lists: ConceptLists, places: NDArray[np.int64]) -> None:
        """Add accepted rows."""
        self._count += np.bincount(lists.ragged(places)[1], minlength=self._n_concepts)
        self._n_accepted += len(places)
        self._linked[_slots(pairs_of(lists, places).keys(self._n_concepts), _SLOT_BITS)] = True

    def refuses(self, lists: ConceptLists, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows of a block are sure to be refused, shape (len(places),)."""
        pairs = pairs_of(lists, places)
        keys = pairs.keys(self._n_concepts)
        # Accepted rows of the block raise the bar λ · n_accepted and may link pairs: neither may undo the verdict.
        needed = max(self._expectation * (self._n_accepted + len(places)), 1.0)
        against = np.flatnonzero(self._count[pairs.a] * self._count[pairs.b] >= needed)
        against = against[~self._linked[_slots(keys[against], _SLOT_BITS)]]
        local = _slots(keys, _LOCAL_BITS)
        alone = np.bincount(local, minlength=1 << _LOCAL_BITS)[local[against]] == 1
        sure = np.zeros(len(places), dtype=np.bool_)
        sure[pairs.row[against[alone]]] = True
        return sure


def check_refused(
    lists: ConceptLists, accepted: NDArray[np.int64], refused: NDArray[np.int64], expectation: float
) -> PairVerdict:
    """Return what the graph of all `accepted` rows (places, first accepted first) says against the `refused` ones."""
    n = lists.n_concepts
    if not len(refused):
        return PairVerdict(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    lengths, flat = lists.ragged(accepted)
    count = np.bincount(flat, minlength=n)
    first = np.full(n, len(accepted), dtype=np.int64)
    np.minimum.at(first, flat, np.repeat(np.arange(len(accepted)), lengths))
    needed = max(expectation * len(accepted), 1.0)
    links, flags = _links(lists, accepted, count, needed)
    conflicts, rival = np.zeros(len(refused), dtype=np.int64), np.full(len(refused), len(accepted))
    for start in range(0, len(refused), _BLOCK):
        block = slice(start, start + _BLOCK)
        pairs = pairs_of(lists, refused[block])
        against = np.flatnonzero(count[pairs.a] * count[pairs.b] >= needed)
        keys = pairs.keys(n)[against]
        linked = flags[_slots(keys, _SLOT_BITS)]
        linked[linked] = _contains(links, keys[linked])
        against = against[~linked]
        rows, where = np.unique(pairs.row[against], return_index=True)
        conflicts[block] = np.bincount(pairs.row[against], minlength=len(conflicts[block]))
        lengths, flat = lists.ragged(refused[block])
        np.minimum.at(rival[block], np.repeat(np.arange(len(lengths)), lengths), first[flat])
        rival[start + rows] = np.minimum(first[pairs.a[against[where]]], first[pairs.b[against[where]]])
    return PairVerdict(conflicts, np.append(accepted, -1)[rival])


def _links(
    lists: ConceptLists, accepted: NDArray[np.int64], count: NDArray[np.int64], needed: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the keys of the linked pairs frequent enough to matter, ascending, and flags, down at slots of no such."""
    pairs = pairs_of(lists, accepted)
    links = np.unique(pairs.keys(lists.n_concepts)[count[pairs.a] * count[pairs.b] >= needed])
    flags = np.zeros(1 << _SLOT_BITS, dtype=np.bool_)
    flags[_slots(links, _SLOT_BITS)] = True
    return links, flags


def _contains(links: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = links[np.minimum(np.searchsorted(links, keys), len(links) - 1)] == keys
    return found


def _slots(keys: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return a slot in [0, 2^bits) for each key (multiplicative hashing: the product's highest bits)."""
    return ((keys.astype(np.uint64) * _MIX) >> np.uint64(64 - bits)).astype(np.int64)
