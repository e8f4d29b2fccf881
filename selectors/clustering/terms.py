"""What a cluster is about: the terms that its rows use and the other rows do not.

Knows nothing of embeddings; needs texts and labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from curate.schemas.errors import InputError
from curate.selectors.text.words import normalised, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TERMS = 10
"""Terms per cluster."""

MAX_ROWS = 100_000
"""Rows read: of a larger corpus every ⌈n/100,000⌉-th row of each cluster, which changes no telling term."""

MAX_CHARACTERS = 2_000
"""Characters read of one text."""

PRIOR = 0.01
"""Weight of the corpus-wide frequencies as a prior, as a share of the observed ones."""

_CANDIDATES = 20
"""Terms ranked per term wanted, before those that repeat a better one are dropped."""


def cluster_terms(texts: Sequence[str], labels: NDArray[np.int32], n_terms: int = TERMS) -> list[list[str]]:
    """Return the most telling unigrams and bigrams of every cluster, best first.

    Ranked by the z-score of the log-odds ratio between the cluster and the rest, with the corpus as an informative
    Dirichlet prior (Monroe, Colaresi & Quinn 2008, "Fightin' Words", eq. 16, 20–22). Counted are rows that contain the
    term, not occurrences, so that one long row cannot name a cluster. A term whose words are all in a better term, or
    that contains one, is dropped. Only terms that the cluster uses more than the rest are given, so a list may be
    shorter than `n_terms`, or empty. A single cluster has no rest: it gets the terms that most of its rows hold.

    Parameters
    ----------
    texts : sequence of str, n
    labels : ndarray of shape (n,)
        0 … K−1; a number without rows gets an empty list.
    n_terms : int

    Returns
    -------
    list of K lists of str
        Among ties the bigram stands before its words, then in alphabetical order.
    """
    if len(texts) != len(labels):
        raise InputError(f"there are {len(texts)} texts for {len(labels)} labels; cluster that corpus again")
    n_clusters = int(labels.max()) + 1 if len(labels) else 0
    rows = _rows_read(labels)
    vectoriser = CountVectorizer(analyzer=_terms_of, binary=True, min_df=2 if len(rows) > 50 else 1, dtype=np.int64)
    try:
        present = vectoriser.fit_transform([texts[row] for row in rows])
    except ValueError:
        # The vectoriser's way to say that no text has a term.
        return [[] for _ in range(n_clusters)]
    names = vectoriser.get_feature_names_out()
    scores = log_odds(*_counts(present, labels[rows], n_clusters))
    return [_telling(row, names, n_terms) for row in scores]


def log_odds(counts: NDArray[np.float64], sizes: NDArray[np.float64], prior: float = PRIOR) -> NDArray[np.float64]:
    """Return the z-score of the log-odds of each term in each cluster against all the other clusters.

    With y = rows of the cluster that hold the term, n its rows, α = prior × (rows of the corpus that hold the term),
    α₀ = prior × (rows of the corpus): δ = log((y+α)/(n+α₀−y−α)) − the same for the rest; z = δ/√(1/(y+α) + 1/(y'+α)).

    Parameters
    ----------
    counts : ndarray of shape (K, n_terms)
        Rows of each cluster that hold each term.
    sizes : ndarray of shape (K,)
        Rows of each cluster.
    prior : float
        Above 0.

    Returns
    -------
    ndarray of shape (K, n_terms)
        Larger = more telling; 0 for a term as frequent inside as outside.
    """
    alpha, alpha_all = prior * counts.sum(axis=0), prior * sizes.sum()
    inside, outside = counts + alpha, counts.sum(axis=0) - counts + alpha
    n_inside, n_outside = sizes[:, None] + alpha_all, sizes.sum() - sizes[:, None] + alpha_all
    # A term in every row of one side would have infinite odds: a pseudo-row without it on both sides.
    without_inside, without_outside = n_inside - inside + prior, n_outside - outside + prior
    delta = np.log(inside / without_inside) - np.log(outside / without_outside)
    z: NDArray[np.float64] = delta / np.sqrt(1 / inside + 1 / outside)
    return z


def _terms_of(text: str) -> list[str]:
    """Content words of a text and the pairs of them that stand side by side."""
    found: list[str] = []
    for run in runs(normalised(text[:MAX_CHARACTERS])):
        found.extend(run)
        found.extend(map(" ".join, zip(run, run[1:], strict=False)))
    return found


def _rows_read(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the rows to read: all, or every so-manieth within each cluster."""
    step = -(-len(labels) // MAX_ROWS)
    if step <= 1:
        return np.arange(len(labels))
    return np.sort(np.argsort(labels, kind="stable")[::step])


def _counts(
    present: sparse.csr_matrix, labels: NDArray[np.int32], n_clusters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of each cluster holding each term, and rows of each cluster."""
    ones = np.ones(len(labels), np.int64)
    owner = sparse.csr_array((ones, (labels, np.arange(len(labels)))), shape=(n_clusters, len(labels)))
    counts: Any = owner @ present
    return counts.toarray().astype(np.float64), np.bincount(labels, minlength=n_clusters).astype(np.float64)


def _telling(scores: NDArray[np.float64], names: NDArray[np.object_], n_terms: int) -> list[str]:
    """Best terms with a positive score, without those that repeat a better one."""
    kept: list[str] = []
    words: list[set[str]] = []
    best = np.argsort(-scores, kind="stable")[: n_terms * _CANDIDATES]
    for place in sorted(best, key=lambda place: (-scores[place], -str(names[place]).count(" "), str(names[place]))):
        if len(kept) == n_terms or scores[place] <= 0:
            break
        own = set(names[place].split())
        if not any(own <= other or other <= own for other in words):
            kept.append(str(names[place]))
            words.append(own)
    return kept
