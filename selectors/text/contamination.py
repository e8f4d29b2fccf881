"""Detects contamination: rows of a corpus that contain questions of an evaluation.

A row is contaminated if it contains at least half of the word 8-grams of an item's question, so phrases that all
questions of a kind share do not suffice. Source: Tülu 3, Lambert et al. 2024, arXiv 2411.15124 §3.2. Departure: words
instead of tokens, so that the result does not depend on a tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.text.shingles import Shingles

WORDS = 8
"""Words per n-gram; a shorter question is one n-gram, which only a prompt or response of the same words contains."""

LEAST_OVERLAP = 0.5
"""Smallest share of an item's n-grams in a contaminated row."""

_BLOCK = 8_192


@dataclass(frozen=True)
class Contamination:
    """The evaluation item that each row contains most of."""

    item: NDArray[np.int64]
    """Shape (n,), index of the item in the evaluation, -1 where the row is clean."""
    overlap: NDArray[np.float64]
    """Shape (n,), share of that item's n-grams in the row, in [0.5, 1]; NaN where the row is clean."""


def contamination(corpus: Shingles, evaluation: Shingles) -> Contamination:
    """Return which rows of the corpus are contaminated, and by which item.

    Parameters
    ----------
    corpus, evaluation : Shingles
        8-grams of the rows (prompt and response) and of the items (questions only).

    Returns
    -------
    Contamination
        Of several items, the one with the largest overlap; ties go to the first.
    """
    n = len(corpus)
    item, overlap = np.full(n, -1), np.full(n, np.nan)
    known = np.unique(evaluation.values)
    by_gram = evaluation.matrix(known).T.tocsr()
    sizes = np.diff(evaluation.offsets)
    # A sparse product counts shared n-grams of all pairs at once; n-grams of no item were dropped, so rows are short.
    for start in range(0, n, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, n))
        shared: Any = (corpus.of(block).matrix(known) @ by_gram).tocoo()
        share = shared.data / sizes[shared.col]
        enough = share >= LEAST_OVERLAP
        row, column, share = shared.row[enough], shared.col[enough], share[enough]
        # Sorted by (row, largest share, first item), `unique` returns the best item of each row.
        order = np.lexsort((column, -share, row))
        rows, first = np.unique(row[order], return_index=True)
        item[start + rows], overlap[start + rows] = column[order][first], share[order][first]
    return Contamination(item, overlap)
