"""Finds near-duplicate rows, lexical or semantic, and keeps the first of each pair.

Lexical: Jaccard index of word trigrams; candidates by MinHash and locality-sensitive hashing (Broder 1997; Leskovec,
Rajaraman & Ullman, "Mining of Massive Datasets", §3.4), each compared exactly. Semantic: cosine of the embeddings
inside a cluster (as SemDeDup, Abbas et al. 2023, arXiv 2303.09540).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.schemas.errors import MissingExtraError
from curate.selectors.neighbours.compressed_index import CompressedIndex
from curate.selectors.neighbours.exact import nearest, unit_rows
from curate.selectors.text.shingles import Shingles, jaccard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

WORDS = 3
"""Words per n-gram of the lexical comparison."""

BANDS, BAND_ROWS = 20, 6
"""Of 120 hashes: rows of Jaccard index 0.8 share a band with probability 0.998, of 0.5 with 0.27."""

BEFORE = 4
"""Preceding rows of a bucket that a row is compared with, besides the bucket's first row."""

NEIGHBOURS = 15
"""Nearest rows of its cluster that a row is compared with in one round."""

EXACT_ROWS = 20_000
"""Largest cluster that is searched exactly; larger ones use a compressed index."""

_BLOCK = 16_384

Pairs = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]"]
"""First row, second row (larger), similarity; one entry per pair."""


@dataclass(frozen=True)
class NearDuplicates:
    """The near-duplicates among n rows."""

    keeper: NDArray[np.int64]
    """Shape (n,), the kept row that each row duplicates; -1 for a row that is kept."""
    similarity: NDArray[np.float64]
    """Shape (n,), similarity to the row by which it was dropped; NaN for a row that is kept."""


def lexical(texts: Shingles, threshold: float) -> NearDuplicates:
    """Return which rows repeat the words of an earlier row.

    Parameters
    ----------
    texts : Shingles
        Trigrams of each row (`WORDS`), rows to keep first. A row without words is never a duplicate.
    threshold : float
        Jaccard index from which two rows are near-duplicates, (0, 1].

    Raises
    ------
    MissingExtraError
        If the MinHash library is not installed.
    """
    keys = band_keys(texts)
    has_words = np.diff(texts.offsets) > 0

    def pairs(alive: NDArray[np.int64]) -> Pairs:
        rows = alive[has_words[alive]]
        a, b = _distinct_pairs([_bucket_pairs(keys[rows, band]) for band in range(BANDS)], len(rows))
        a, b = rows[a], rows[b]
        similar = np.empty(len(a))
        for start in range(0, len(a), _BLOCK):
            block = slice(start, start + _BLOCK)
            similar[block] = jaccard(texts.of(a[block]), texts.of(b[block]))
        near = similar >= threshold
        return a[near], b[near], similar[near]

    return drop_repeats(len(texts), pairs)


def semantic(embeddings: NDArray[np.float32], cluster: NDArray[np.int32], threshold: float) -> NearDuplicates:
    """Return which rows are close in meaning to an earlier row of their cluster.

    Parameters
    ----------
    embeddings : ndarray of shape (n, width)
        Rows to keep first.
    cluster : ndarray of shape (n,)
    threshold : float
        Cosine from which two rows are near-duplicates, (0, 1].
    """
    rows = unit_rows(embeddings)
    order = np.argsort(cluster, kind="stable")
    groups = np.split(order, np.cumsum(np.unique(cluster, return_counts=True)[1])[:-1])

    def pairs(alive: NDArray[np.int64]) -> Pairs:
        is_alive = np.zeros(len(rows), np.bool_)
        is_alive[alive] = True
        by_group = [_close_pairs(rows, group[is_alive[group]], threshold) for group in groups]
        a, b, similar = (np.concatenate(parts) for parts in zip(*by_group, strict=True))
        return a, b, similar

    return drop_repeats(len(rows), pairs)


def drop_repeats(n: int, pairs: Callable[[NDArray[np.int64]], Pairs]) -> NearDuplicates:
    """Drop the second row of each pair, in the order of the rows, until no two kept rows are a pair.

    Parameters
    ----------
    n : int
    pairs : callable
        Returns near-duplicates among the rows that are left, given ascending. It need not return all pairs at once,
        but returns none only if there is none.

    Returns
    -------
    Dropped
        If the keeper of a row is dropped itself, its own keeper takes its place.
    """
    keeper, similarity = np.full(n, -1), np.full(n, np.nan)
    while True:
        a, b, similar = pairs(np.flatnonzero(keeper < 0))
        if not len(a):
            break
        # By second row, most similar first: row b is dropped for its best match among the rows before it, and whether
        # those are kept was decided at earlier values of b.
        order = np.lexsort((a, -similar, b))
        for first, second, value in zip(a[order].tolist(), b[order].tolist(), similar[order].tolist(), strict=True):
            if keeper[first] < 0 and keeper[second] < 0:
                keeper[second], similarity[second] = first, value
    # Follow chains of keepers to their ends; each pass at least halves the longest chain.
    while (moved := (keeper >= 0) & (keeper[keeper] >= 0)).any():
        keeper[moved] = keeper[keeper[moved]]
    return NearDuplicates(keeper, similarity)


def band_keys(texts: Shingles) -> NDArray[np.uint64]:
    """Return one integer for each band of each row's MinHash, shape (n, BANDS), equal for equal bands."""
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise MissingExtraError("finding lexical near-duplicates", "dedup") from error
    # Six hashes become one by a random linear form modulo 2^64. A collision only adds a candidate pair, which the exact
    # comparison rejects.
    factors = np.random.default_rng(0).integers(1, 2**63, BAND_ROWS, dtype=np.uint64) | np.uint64(1)
    keys = np.empty((len(texts), BANDS), np.uint64)
    for start in range(0, len(texts), _BLOCK):
        offsets = texts.offsets[start : start + _BLOCK + 1]
        values = texts.values[offsets[0] : offsets[-1]]
        digests = RMinHash.digest_matrix_from_flat_token_hashes(
            values, (offsets - offsets[0]).astype(np.uint64), num_perm=BANDS * BAND_ROWS, seed=0
        )
        rows = np.array(digests.to_rows(), np.uint64).reshape(-1, BANDS, BAND_ROWS)
        keys[start : start + _BLOCK] = (rows * factors).sum(axis=2, dtype=np.uint64)
    return keys


def _bucket_pairs(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of rows with the same key: each with the bucket's first row and with the few before it.

    All pairs of a bucket would be quadratic where thousands of rows are copies.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    at = np.arange(len(keys))
    # The start of each position's bucket.
    begin = np.maximum.accumulate(np.where(begins, at, 0))
    later = [at[at > begin]] + [at[at - back > begin] for back in range(1, BEFORE + 1)]
    earlier = [begin[later[0]]] + [places - back for back, places in enumerate(later[1:], start=1)]
    return order[np.concatenate(earlier)], order[np.concatenate(later)]


def _distinct_pairs(
    by_band: list[tuple[NDArray[np.int64], NDArray[np.int64]]], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of all bands once each, the smaller row first."""
    a, b = (np.concatenate(parts) for parts in zip(*by_band, strict=True))
    both = np.unique(np.minimum(a, b) * n + np.maximum(a, b))
    return both // max(n, 1), both % max(n, 1)


def _close_pairs(rows: NDArray[np.float32], group: NDArray[np.int64], threshold: float) -> Pairs:
    """Return the pairs of nearest rows of a cluster whose cosine reaches the threshold."""
    own = rows[group]
    parts = list(_near(own, threshold))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    a, b, similar = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return group[a], group[b], similar


def _near(rows: NDArray[np.float32], threshold: float) -> Iterator[Pairs]:
    """Yield, block by block, pairs of positions in `rows`, the smaller position first."""
    index = CompressedIndex(rows) if len(rows) > EXACT_ROWS else None
    for start in range(0, len(rows), _BLOCK):
        queries = rows[start : start + _BLOCK]
        if index is None:
            near, distances = nearest(queries, rows, NEIGHBOURS + 1)
        else:
            near, distances = index.nearest(queries, NEIGHBOURS + 1)
        place = start + np.arange(len(queries))[:, None]
        # Cosines are in float32: that of two equal rows may be 1 − 1e-7, below a threshold of 1.
        close = (1 - distances.astype(np.float64) >= threshold - 1e-6) & (near != place)
        a, b = np.broadcast_to(place, near.shape)[close], near[close].astype(np.int64)
        yield np.minimum(a, b), np.maximum(a, b), 1 - distances[close].astype(np.float64)
