"""The graph of concepts that accepted rows have shown together (PASER §3.3, METHODS §3), one row at a time.

Vertices are concepts, edges join concepts that stood in one accepted row. Concepts are numbers here; what phrase is
behind one, this module does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True)
class ConceptLists:
    """The concepts of the competing rows, ragged, renumbered from 0 without those that can never conflict."""

    offsets: NDArray[np.int64]
    values: NDArray[np.int32]
    """Pool row r has ``values[offsets[r]:offsets[r + 1]]``, ascending and distinct."""
    rows: NDArray[np.int64]
    """Pool row at each place, shape (m + p,): competing rows, then pins."""
    n_concepts: int
    n_pairs: NDArray[np.int64]
    """Pairs of distinct concepts of each row of the pool, before any concept was left out."""

    def ragged(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (lengths, concepts one row after the other) of the rows at `places`."""
        first = self.offsets[self.rows[places]]
        lengths = self.offsets[self.rows[places] + 1] - first
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return lengths, self.values[within + np.repeat(first, lengths)].astype(np.int64)

    def of(self, places: NDArray[np.int64]) -> list[list[int]]:
        """Return the concepts of the rows at `places` as Python lists."""
        lengths, flat = self.ragged(places)
        ends = np.cumsum(lengths)
        numbers = flat.tolist()
        return [numbers[a:b] for a, b in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


def concept_lists(
    offsets: NDArray[np.int64], values: NDArray[np.int32], rows: NDArray[np.int64], expectation: float
) -> ConceptLists:
    """Return the concepts of the pool `rows`, without those too rare ever to conflict.

    Parameters
    ----------
    offsets, values : ndarray
        Ragged concept ids of the whole pool, ascending within a row.
    rows : ndarray of int64
        Pool row at each place.
    expectation : float
        λ of `ConceptGraph`. A conflict needs n_a · n_b >= λ · n_accepted, and n_b <= n_accepted, so n_a >= λ: a concept
        that fewer other rows hold cannot conflict, and leaving it out changes no outcome.
    """
    n = len(offsets) - 1
    wanted = np.zeros(n, dtype=np.bool_)
    wanted[rows] = True
    owner = np.repeat(np.arange(n, dtype=np.int32), np.diff(offsets))
    use = wanted[owner]
    use[1:] &= (values[1:] != values[:-1]) | (owner[1:] != owner[:-1])
    distinct = np.bincount(owner[use], minlength=n)
    common = np.bincount(values[use]) - 1 >= max(expectation, 1.0)
    use[use] = common[values[use]]
    number = (np.cumsum(common) - 1).astype(np.int32)
    return ConceptLists(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(owner[use], minlength=n))]),
        values=number[values[use]],
        rows=rows,
        n_concepts=int(common.sum()),
        n_pairs=distinct * (distinct - 1) // 2,
    )


class ConceptGraph:
    """What the rows accepted so far say about concepts.

    Two concepts a, b of a row *conflict* when both are known, no accepted row holds both, and
    n_a · n_b / n_accepted >= λ, with n the accepted rows holding a concept: chance alone would leave such a pair
    unlinked with probability about e^-λ. λ = 0 is the paper's literal rule.

    Parameters
    ----------
    n_concepts : int
        Concepts are 0 … n_concepts - 1.
    expectation : float
        λ >= 0.
    """

    def __init__(self, n_concepts: int, expectation: float) -> None:
        self._expectation = expectation
        self._least = max(expectation, 1.0)
        self._count = [0] * n_concepts
        # Itself and its neighbours. The list of its first row serves until a second comes: most concepts stay rare.
        self._linked: list[list[int] | set[int]] = [[]] * n_concepts
        self._n_accepted = 0

    def accept(self, concepts: list[int]) -> None:
        """Add an accepted row with its distinct `concepts`."""
        count, linked = self._count, self._linked
        for concept in concepts:
            count[concept] += 1
            if count[concept] == 1:
                linked[concept] = concepts
            elif count[concept] == 2:
                linked[concept] = {*linked[concept], *concepts}
            else:
                linked[concept].update(concepts)  # type: ignore[union-attr]
        self._n_accepted += 1

    def refuses(self, concepts: list[int]) -> bool:
        """Return whether any two of `concepts` (ascending, distinct) conflict."""
        return next(self.conflicts(concepts), None) is not None

    def conflicts(self, concepts: list[int]) -> Iterator[tuple[int, int]]:
        """Yield the conflicting pairs of `concepts` (ascending, distinct)."""
        count, least = self._count, self._least
        known = [concept for concept in concepts if count[concept] >= least]
        if len(known) < 2:
            return
        needed = self._expectation * self._n_accepted
        if needed:
            most = max([count[concept] for concept in known])
            known = [concept for concept in known if count[concept] * most >= needed]
        others = set(known)
        for a in known:
            others.discard(a)
            for b in others.difference(self._linked[a]):
                if count[a] * count[b] >= needed:
                    yield a, b
