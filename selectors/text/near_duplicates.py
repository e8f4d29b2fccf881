"""Near-duplicates: which rows say nearly what a kept row says, in words or in meaning.

Lexical: Jaccard index of word trigrams, candidates by MinHash and locality-sensitive hashing (Broder 1997; Leskovec,
Rajaraman & Ullman, "Mining of Massive Datasets", §3.4), each candidate compared exactly. Semantic: cosine of the
embeddings inside a cluster (as SemDeDup, Abbas et al. 2023, arXiv 2303.09540). Of two near-duplicates the row that
stands first is kept. Knows nothing of budgets.
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
"""Rows before it in a band's bucket with which a row is compared, besides the bucket's first."""

NEIGHBOURS = 15
"""Most similar rows of its cluster with which a row is compared in one round."""

EXACT_ROWS = 20_000
"""Largest cluster whose rows are all compared exactly; beyond, a compressed index gives the candidates."""

_BLOCK = 16_384

Pairs = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]"]
"""First place, second place (larger), similarity; one entry a pair."""


@dataclass(frozen=True)
class NearDuplicates:
    """What was found, by place."""

    keeper: NDArray[np.int64]
    """Shape (n,), the kept row that says nearly the same; -1 for a row that is kept."""
    similarity: NDArray[np.float64]
    """Shape (n,), similarity to the row that it was found to repeat; NaN for a row that is kept."""


def lexical(texts: Shingles, threshold: float) -> NearDuplicates:
    """Return which rows repeat the words of an earlier row.

    Parameters
    ----------
    texts : Shingles
        Trigrams of each row (`WORDS`), the row that should be kept first. A row without words repeats nothing.
    threshold : float
        Jaccard index from which two rows are near-duplicates, (0, 1].

    Raises
    ------
    MissingExtraError
        If the MinHash library is not installed.
    """
    keys = band_keys(texts)
    worded = np.diff(texts.offsets) > 0

    def pairs(alive: NDArray[np.int64]) -> Pairs:
        some = alive[worded[alive]]
        a, b = _distinct_pairs([_bucket_pairs(keys[some, band]) for band in range(BANDS)], len(some))
        a, b = some[a], some[b]
        similar = np.empty(len(a))
        for start in range(0, len(a), _BLOCK):
            part = slice(start, start + _BLOCK)
            similar[part] = jaccard(texts.of(a[part]), texts.of(b[part]))
        near = similar >= threshold
        return a[near], b[near], similar[near]

    return drop_repeats(len(texts), pairs)


def semantic(embeddings: NDArray[np.float32], cluster: NDArray[np.int32], threshold: float) -> NearDuplicates:
    """Return which rows mean nearly what an earlier row of their cluster means.

    Parameters
    ----------
    embeddings : ndarray of shape (n, width)
        The row that should be kept first.
    cluster : ndarray of shape (n,)
    threshold : float
        Cosine from which two rows are near-duplicates, (0, 1].
    """
    rows = unit_rows(embeddings)
    order = np.argsort(cluster, kind="stable")
    groups = np.split(order, np.cumsum(np.unique(cluster, return_counts=True)[1])[:-1])

    def pairs(alive: NDArray[np.int64]) -> Pairs:
        living = np.zeros(len(rows), np.bool_)
        living[alive] = True
        found = [_close_pairs(rows, group[living[group]], threshold) for group in groups]
        a, b, similar = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return a, b, similar

    return drop_repeats(len(rows), pairs)


def drop_repeats(n: int, pairs: Callable[[NDArray[np.int64]], Pairs]) -> NearDuplicates:
    """Keep the first of each pair, in the order of the rows, until no two kept rows are a pair.

    Parameters
    ----------
    n : int
    pairs : callable
        Given the places of the rows that are left, ascending, returns near-duplicates among them; not all need be
        given at once, but none only when there is none.

    Returns
    -------
    Dropped
        A row dropped for one that is dropped later itself is handed on to the latter's keeper.
    """
    keeper, similarity = np.full(n, -1), np.full(n, np.nan)
    while True:
        a, b, similar = pairs(np.flatnonzero(keeper < 0))
        if not len(a):
            break
        order = np.lexsort((a, -similar, b))
        for first, second, value in zip(a[order].tolist(), b[order].tolist(), similar[order].tolist(), strict=True):
            if keeper[first] < 0 and keeper[second] < 0:
                keeper[second], similarity[second] = first, value
    while (moved := (keeper >= 0) & (keeper[keeper] >= 0)).any():
        keeper[moved] = keeper[keeper[moved]]
    return NearDuplicates(keeper, similarity)


def band_keys(texts: Shingles) -> NDArray[np.uint64]:
    """Return one number for each band of each row's MinHash, shape (n, BANDS): equal bands, equal numbers."""
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise MissingExtraError("finding lexical near-duplicates", "dedup") from error
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
    """Pairs of rows with one key: each with the bucket's first and with the few before it, not all with all."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    at = np.arange(len(keys))
    begin = np.maximum.accumulate(np.where(begins, at, 0))
    later = [at[at > begin]] + [at[at - back > begin] for back in range(1, BEFORE + 1)]
    earlier = [begin[later[0]]] + [places - back for back, places in enumerate(later[1:], start=1)]
    return order[np.concatenate(earlier)], order[np.concatenate(later)]


def _distinct_pairs(
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b = (np.concatenate(parts) for parts in zip(*found, strict=True))
    both = np.unique(np.minimum(a, b) * n + np.maximum(a, b))
    return both // max(n, 1), both % max(n, 1)


def _close_pairs(rows: NDArray[np.float32], group: NDArray[np.int64], threshold: float) -> Pairs:
    """Pairs of a cluster's rows whose cosine reaches the threshold, among each row's nearest."""
    own = rows[group]
    parts = list(_near(own, threshold))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    a, b, similar = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return group[a], group[b], similar


def _near(rows: NDArray[np.float32], threshold: float) -> Iterator[Pairs]:
    """Yield, block by block, pairs of places among `rows`, each pair in the order of the places."""
    index = CompressedIndex(rows) if len(rows) > EXACT_ROWS else None
    for start in range(0, len(rows), _BLOCK):
        queries = rows[start : start + _BLOCK]
        if index is None:
            near, distances = nearest(queries, rows, NEIGHBOURS + 1)
        else:
            near, distances = index.nearest(queries, NEIGHBOURS + 1)
        place = start + np.arange(len(queries))[:, None]
        # Cosines come in float32: a row's own copy may lie at 1 − 1e-7.
        close = (1 - distances.astype(np.float64) >= threshold - 1e-6) & (near != place)
        a, b = np.broadcast_to(place, near.shape)[close], near[close].astype(np.int64)
        yield np.minimum(a, b), np.maximum(a, b), 1 - distances[close].astype(np.float64)
