"""Conflicting pairs of concepts for many rows at once: conflicts with a finished graph, and a fast first screen.

The rule of `curate.selectors.consistency.graph.ConceptGraph` (PASER, arXiv 2502.12594 §3.3) on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.consistency.graph import ConceptLists

_BLOCK = 16_384
"""Rows whose pairs are held in memory at a time."""
_SLOT_BITS = 25
"""A table of 2^25 flags, 32 MiB: with three million links, nine of ten absent links are recognised as absent."""
_LOCAL_BITS = 20
"""Bits of the table of pairs of one block."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Pairs:
    """All pairs a < b of the concepts of some rows, row by row, ascending."""

    row: NDArray[np.int64]
    """Index of the row among those requested."""
    a: NDArray[np.int64]
    b: NDArray[np.int64]

    def keys(self, n_concepts: int) -> NDArray[np.int64]:
        """Return one integer per pair, equal for equal pairs."""
        return self.a * n_concepts + self.b


@dataclass(frozen=True)
class PairVerdict:
    """Conflicts of refused rows with the finished graph."""

    conflicts: NDArray[np.int64]
    """Number of conflicting pairs."""
    rival: NDArray[np.int64]
    """Position of the earliest accepted row that contains one concept of the first conflicting pair (by ascending
    concept) or, if no pair conflicts any more, of the earliest accepted row that shares a concept; -1 if none does."""


def pairs_of(lists: ConceptLists, places: NDArray[np.int64]) -> Pairs:
    """Return all pairs of concepts of the rows at the positions `places`."""
    # Concept j of a row of length l pairs with the l − 1 − j after it (`partners`); a global count minus the start of
    # each run gives the offset of the partner.
    lengths, flat = lists.flattened(places)
    position = np.arange(len(flat))
    partners = np.repeat(np.cumsum(lengths), lengths) - 1 - position
    first = np.repeat(position, partners)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    return Pairs(np.repeat(np.repeat(np.arange(len(places)), lengths), partners), flat[first], flat[second])


class Screen:
    """Finds rows of a block that will certainly be refused, without querying the graph for each.

    A row will be refused if one of its pairs conflicts at the start of the block and no other row of the block can link
    that pair. Links are flags in a table of hashed slots, as in a Bloom filter: an unset flag proves that a pair is not
    linked; a set flag proves nothing, and the graph decides on the row.
    """

    def __init__(self, n_concepts: int, expectation: float) -> None:
        self._expectation = expectation
        self._n_concepts = n_concepts
        self._count = np.zeros(n_concepts, dtype=np.int64)
        self._n_accepted = 0
        self._linked = np.zeros(1 << _SLOT_BITS, dtype=np.bool_)

    def learn(self, lists: ConceptLists, places: NDArray[np.int64]) -> None:
        """Add accepted rows."""
        self._count += np.bincount(lists.flattened(places)[1], minlength=self._n_concepts)
        self._n_accepted += len(places)
        self._linked[_slots(pairs_of(lists, places).keys(self._n_concepts), _SLOT_BITS)] = True

    def refuses(self, lists: ConceptLists, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows of a block will certainly be refused, shape (len(places),)."""
        pairs = pairs_of(lists, places)
        keys = pairs.keys(self._n_concepts)
        # Rows of the block accepted before this one raise the bound λ · n_accepted, at most to that of the whole block,
        # and may link pairs: a pair counts only if no other row of the block has it (by hash, so at worst too few).
        needed = max(self._expectation * (self._n_accepted + len(places)), 1.0)
        against = np.flatnonzero(self._count[pairs.a] * self._count[pairs.b] >= needed)
        against = against[~self._linked[_slots(keys[against], _SLOT_BITS)]]
        local = _slots(keys, _LOCAL_BITS)
        only_here = np.bincount(local, minlength=1 << _LOCAL_BITS)[local[against]] == 1
        sure = np.zeros(len(places), dtype=np.bool_)
        sure[pairs.row[against[only_here]]] = True
        return sure


def check_refused(
    lists: ConceptLists, accepted: NDArray[np.int64], refused: NDArray[np.int64], expectation: float
) -> PairVerdict:
    """Return the conflicts of the `refused` rows with the graph of all `accepted` rows.

    Both are positions; `accepted` is in the order of acceptance.
    """
    n = lists.n_concepts
    if not len(refused):
        return PairVerdict(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    lengths, flat = lists.flattened(accepted)
    count = np.bincount(flat, minlength=n)
    # Per concept, the earliest accepted row that contains it; len(accepted), mapped to -1 below, where none does.
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
        # Binary search, the expensive part, only where the hashed flags do not settle the question.
        linked[linked] = _contains(links, keys[linked])
        against = against[~linked]
        rows, where = np.unique(pairs.row[against], return_index=True)
        conflicts[block] = np.bincount(pairs.row[against], minlength=len(conflicts[block]))
        lengths, flat = lists.flattened(refused[block])
        np.minimum.at(rival[block], np.repeat(np.arange(len(lengths)), lengths), first[flat])
        rival[start + rows] = np.minimum(first[pairs.a[against[where]]], first[pairs.b[against[where]]])
    return PairVerdict(conflicts, np.append(accepted, -1)[rival])


def _links(
    lists: ConceptLists, accepted: NDArray[np.int64], count: NDArray[np.int64], needed: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the keys of the linked pairs of frequent concepts, ascending, and the flags of their slots."""
    pairs = pairs_of(lists, accepted)
    links = np.unique(pairs.keys(lists.n_concepts)[count[pairs.a] * count[pairs.b] >= needed])
    flags = np.zeros(1 << _SLOT_BITS, dtype=np.bool_)
    flags[_slots(links, _SLOT_BITS)] = True
    return links, flags


def _contains(links: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which `keys` are in the ascending `links`."""
    is_link: NDArray[np.bool_] = links[np.minimum(np.searchsorted(links, keys), len(links) - 1)] == keys
    return is_link


def _slots(keys: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return a slot in [0, 2^bits) for each key (multiplicative hashing: the product's highest bits)."""
    return ((keys.astype(np.uint64) * _MIX) >> np.uint64(64 - bits)).astype(np.int64)
