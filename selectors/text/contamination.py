"""Contamination: which rows of a corpus hold what an evaluation asks.

A row is contaminated where it holds at least half of the word 8-grams of an evaluation item's question (after the rule
of Tülu 3, Lambert et al. 2024, arXiv 2411.15124, §3.2, which counts tokens): phrases that every question of a kind
shares do not condemn a row. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.text.shingles import Shingles

WORDS = 8
"""Words per n-gram; a question of fewer words is one n-gram, which only a prompt or answer of the same words holds."""

LEAST_OVERLAP = 0.5
"""Share of an item's n-grams from which a row that holds them is contaminated."""

_BLOCK = 8_192


@dataclass(frozen=True)
class Contamination:
    """The evaluation item that each row holds most of."""

    item: NDArray[np.int64]
    """Shape (n,), place of the item among the evaluation's, -1 where the row is clean."""
    overlap: NDArray[np.float64]
    """Shape (n,), share of that item's n-grams that the row holds, in [0.5, 1]; NaN where the row is clean."""


def contamination(corpus: Shingles, evaluation: Shingles) -> Contamination:
    """Return which rows of the corpus are contaminated, and by what.

    Parameters
    ----------
    corpus, evaluation : Shingles
        8-grams of the rows (prompt and response) and of the items (questions only).

    Returns
    -------
    Contamination
        Of several items, that with the largest overlap; ties go to the first.
    """
    n = len(corpus)
    item, overlap = np.full(n, -1), np.full(n, np.nan)
    known = np.unique(evaluation.values)
    by_gram = evaluation.matrix(known).T.tocsr()
    sizes = np.diff(evaluation.offsets)
    for start in range(0, n, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, n))
        shared: Any = (corpus.of(block).matrix(known) @ by_gram).tocoo()
        share = shared.data / sizes[shared.col]
        enough = share >= LEAST_OVERLAP
        row, column, share = shared.row[enough], shared.col[enough], share[enough]
        order = np.lexsort((column, -share, row))
        rows, first = np.unique(row[order], return_index=True)
        item[start + rows], overlap[start + rows] = column[order][first], share[order][first]
    return Contamination(item, overlap)
