"""Describes clusters by their characteristic terms, from texts and labels.

Terms are ranked by z = δ / √(1/(y+α) + 1/(y'+α)), δ the log-odds ratio of the term between the cluster and the other
rows. Source: Monroe, Colaresi & Quinn 2008, "Fightin' Words", eq. 16 and 20–22, with the corpus as an informative
Dirichlet prior. Departure: counts are rows that contain the term, not occurrences, so that one long row cannot name a
cluster.
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
"""Rows read: of a larger corpus every ⌈n/100,000⌉-th row of each cluster, enough for characteristic terms."""

MAX_CHARACTERS = 2_000
"""Characters read of one text."""

PRIOR = 0.01
"""Weight of the corpus-wide frequencies as a prior, as a share of the observed ones."""

_CANDIDATES = 20
"""Terms considered per term returned, before those that repeat a better one are dropped."""


def cluster_terms(texts: Sequence[str], labels: NDArray[np.int32], n_terms: int = TERMS) -> list[list[str]]:
    """Return the most characteristic unigrams and bigrams of every cluster, best first (see `log_odds`).

    A term whose words are all in a better term, or that contains one, is dropped. Only terms that the cluster uses more
    than the other rows are returned, so a list may be shorter than `n_terms`, or empty. A single cluster has nothing to
    be compared with: it gets the terms of most of its rows.

    Parameters
    ----------
    texts : sequence of str, n
    labels : ndarray of shape (n,)
        0 … K−1; a label without rows gets an empty list.
    n_terms : int

    Returns
    -------
    list of K lists of str
        Ties: bigrams before single words, then alphabetical order.
    """
    if len(texts) != len(labels):
        raise InputError(f"there are {len(texts)} texts for {len(labels)} labels; cluster that corpus again")
    n_clusters = int(labels.max()) + 1 if len(labels) else 0
    rows = _rows_read(labels)
    vectoriser = CountVectorizer(analyzer=_terms_of, binary=True, min_df=2 if len(rows) > 50 else 1, dtype=np.int64)
    try:
        present = vectoriser.fit_transform([texts[row] for row in rows])
    except ValueError:
        # CountVectorizer raises this if no text contains a term.
        return [[] for _ in range(n_clusters)]
    names = vectoriser.get_feature_names_out()
    scores = log_odds(*_counts(present, labels[rows], n_clusters))
    return [_characteristic(row, names, n_terms) for row in scores]


def log_odds(counts: NDArray[np.float64], sizes: NDArray[np.float64], prior: float = PRIOR) -> NDArray[np.float64]:
    """Return the z-score of the log-odds of each term in each cluster against all the other clusters.

    With y = rows of the cluster that hold the term, n its rows, α = prior × (rows of the corpus that hold the term),
    α₀ = prior × (rows of the corpus): δ = log((y+α)/(n+α₀−y−α)) − the same for the other rows;
    z = δ/√(1/(y+α) + 1/(y'+α)).

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
        Larger = more characteristic; 0 for a term as frequent inside as outside.
    """
    alpha, alpha_all = prior * counts.sum(axis=0), prior * sizes.sum()
    inside, outside = counts + alpha, counts.sum(axis=0) - counts + alpha
    n_inside, n_outside = sizes[:, None] + alpha_all, sizes.sum() - sizes[:, None] + alpha_all
    # A term in every row of one side would have infinite odds: both sides get a pseudo-row without it.
    without_inside, without_outside = n_inside - inside + prior, n_outside - outside + prior
    delta = np.log(inside / without_inside) - np.log(outside / without_outside)
    z: NDArray[np.float64] = delta / np.sqrt(1 / inside + 1 / outside)
    return z


def _terms_of(text: str) -> list[str]:
    """Return the content words of a text and the pairs of adjacent ones."""
    terms: list[str] = []
    for run in runs(normalised(text[:MAX_CHARACTERS])):
        terms.extend(run)
        terms.extend(map(" ".join, zip(run, run[1:], strict=False)))
    return terms


def _rows_read(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the rows to read: all, or every k-th row of each cluster."""
    step = -(-len(labels) // MAX_ROWS)
    if step <= 1:
        return np.arange(len(labels))
    # Strides over the rows sorted by label take the same share of every cluster; small ones do not vanish.
    return np.sort(np.argsort(labels, kind="stable")[::step])


def _counts(
    present: sparse.csr_matrix, labels: NDArray[np.int32], n_clusters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of rows of each cluster that contain each term, and of all rows of each cluster."""
    # A product of cluster × row and row × term indicators, sparse throughout.
    ones = np.ones(len(labels), np.int64)
    owner = sparse.csr_array((ones, (labels, np.arange(len(labels)))), shape=(n_clusters, len(labels)))
    counts: Any = owner @ present
    return counts.toarray().astype(np.float64), np.bincount(labels, minlength=n_clusters).astype(np.float64)


def _characteristic(scores: NDArray[np.float64], names: NDArray[np.object_], n_terms: int) -> list[str]:
    """Return the best terms with a positive score, without those that repeat a better one."""
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
