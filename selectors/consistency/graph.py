"""Concept graph of accepted rows, built one row at a time, and the test for conflicting rows.

Vertices are concepts (integer ids), edges link concepts that occur in the same accepted row. Concepts a and b of a row
conflict if both are known, unlinked, and n_a · n_b / n >= λ, with n_a the accepted rows that contain a and n all
accepted rows.

Source: the concept consistency graph of PASER, arXiv 2502.12594 §3.3, which is λ = 0. Departure: λ. If concepts were
spread independently, n_a · n_b / n accepted rows would contain both, and none with probability about e^-λ, so the
absence of a link is evidence only for pairs of frequent concepts.
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
    """Concepts of the competing rows as flat arrays, renumbered from 0 without those that can never conflict."""

    offsets: NDArray[np.int64]
    values: NDArray[np.int32]
    """Pool row r has ``values[offsets[r]:offsets[r + 1]]``, ascending and distinct."""
    rows: NDArray[np.int64]
    """Pool row at each position, shape (m + p,): competing rows, then pins."""
    n_concepts: int
    n_pairs: NDArray[np.int64]
    """Number of pairs of distinct concepts of each pool row, including concepts that were left out."""

    def flattened(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (lengths, concatenated concepts) of the rows at the positions `places`."""
        first = self.offsets[self.rows[places]]
        lengths = self.offsets[self.rows[places] + 1] - first
        # Index inside each row: a global count minus the start of the row, without a Python loop.
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return lengths, self.values[within + np.repeat(first, lengths)].astype(np.int64)

    def of(self, places: NDArray[np.int64]) -> list[list[int]]:
        """Return the concepts of the rows at the positions `places` as Python lists."""
        lengths, flat = self.flattened(places)
        ends = np.cumsum(lengths)
        numbers = flat.tolist()
        return [numbers[a:b] for a, b in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


def concept_lists(
    offsets: NDArray[np.int64], values: NDArray[np.int32], rows: NDArray[np.int64], expectation: float
) -> ConceptLists:
    """Return the concepts of the pool `rows`, without those too rare to ever conflict.

    Parameters
    ----------
    offsets, values : ndarray
        Concept ids of the whole pool, ascending within a row: row i has ``values[offsets[i]:offsets[i + 1]]``.
    rows : ndarray of int64
        Pool row at each position.
    expectation : float
        λ of `ConceptGraph`. Leaving rare concepts out does not change any decision.
    """
    n = len(offsets) - 1
    competing = np.zeros(n, dtype=np.bool_)
    competing[rows] = True
    owner = np.repeat(np.arange(n, dtype=np.int32), np.diff(offsets))
    use = competing[owner]
    # A repeated concept counts once: values are ascending within a row, so a repetition equals its predecessor.
    use[1:] &= (values[1:] != values[:-1]) | (owner[1:] != owner[:-1])
    distinct = np.bincount(owner[use], minlength=n)
    # A conflict needs n_a · n_b >= λ n and n_b <= n, so n_a >= λ. When a row is offered, n_a counts other rows only, so
    # a concept needs λ of them (and at least one) besides the row itself.
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
    """Concept graph of the rows accepted so far.

    Two concepts a, b of a row *conflict* if both are known, no accepted row contains both, and
    n_a · n_b / n_accepted >= λ; see the module.

    Parameters
    ----------
    n_concepts : int
        Concepts are 0 … n_concepts - 1.
    expectation : float
        λ >= 0; 0 is the paper's rule.
    """

    def __init__(self, n_concepts: int, expectation: float) -> None:
        self._expectation = expectation
        self._least = max(expectation, 1.0)
        self._count = [0] * n_concepts
        # Neighbours of each concept, itself included. After its first row that is the row's own list, shared, not
        # copied; a set is built only for the second row. Most concepts stay rare, which saves most of the memory.
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
            # With even the most frequent partner too few joint rows expected: no pair of this concept can conflict.
            most = max([count[concept] for concept in known])
            known = [concept for concept in known if count[concept] * most >= needed]
        others = set(known)
        for a in known:
            others.discard(a)
            for b in others.difference(self._linked[a]):
                if count[a] * count[b] >= needed:
                    yield a, b
