"""Exact, reproducible nearest neighbours by cosine distance.

A corpus beyond the exact limit is reduced to landmarks first (`curate.selectors.clustering.cluster`), so every search
is against a bounded number of rows; for many queries see `curate.selectors.neighbours.compressed_index`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK = 16_384
"""Rows per block where a temporary array of the block is needed."""


def unit_rows(embeddings: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1; a zero row stays zero, at distance 1 from everything.

    Parameters
    ----------
    embeddings : ndarray of shape (n, width)
        Any real dtype; not changed.

    Returns
    -------
    ndarray of shape (n, width), float32
        A new C-ordered array.

    Raises
    ------
    InputError
        If the array is not two-dimensional, or a row holds NaN or infinity (the message names the row, counted from 0).
    """
    if embeddings.ndim != 2 or embeddings.shape[1] == 0:
        raise InputError(f"embeddings have the shape {embeddings.shape} where (rows, width) is needed; embed again")
    # Adding zero turns -0.0 into 0.0, so that equal rows are also equal byte for byte (copies are found by hash).
    rows = np.array(embeddings, dtype=np.float32, order="C")
    rows += np.float32(0)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            row, column = int(bad[0]), int(np.flatnonzero(~np.isfinite(block[bad[0]]))[0])
            raise InputError(
                f"embedding row {start + row} has {block[row, column]} in dimension {column}; "
                "embed the corpus again or exclude that row"
            )
        # Norms in float64: the squares of small float32 values underflow.
        norms = np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True)
        np.divide(block, norms, out=block, where=norms > 0, casting="same_kind")
    return rows


def neighbours(
    embeddings: NDArray[np.floating[Any]], k: int, *, threads: int | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the `k` nearest other rows of every row by d = 1 − cosine (PASER, arXiv 2502.12594 §3.1), exactly.

    A row is excluded from its own list by its index, never by its distance, so rows that occur twice are each
    other's neighbours at distance 0. Rows at equal distance are ordered by index.

    Parameters
    ----------
    embeddings : ndarray of shape (n, width)
        Rows of any length; they are scaled to length 1 here.
    k : int
        Number of neighbours; with fewer than k + 1 rows, all other rows are returned.
    threads : int, optional
        Threads of the search; the process's default if omitted. Does not change the process's own setting.

    Returns
    -------
    indices : ndarray of shape (n, min(k, n - 1)), int32
    distances : ndarray of shape (n, min(k, n - 1)), float32
        In [0, 2], ascending in each row; resolution about 1e-7.

    Raises
    ------
    UsageError
        If `k` is below 1.
    InputError
        As `unit_rows`.
    """
    if k < 1:
        raise UsageError(f"number of neighbours {k} is too small; give at least 1")
    rows = unit_rows(embeddings)
    n = len(rows)
    width = min(k, n - 1)
    if width < 1:
        return np.empty((n, 0), np.int32), np.empty((n, 0), np.float32)
    # One more, because a row is its own nearest neighbour.
    indices, distances = nearest(rows, rows, width + 1, threads=threads)
    return _without_self(indices, distances)


def nearest(
    queries: NDArray[np.float32], rows: NDArray[np.float32], k: int, *, threads: int | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the min(k, len(rows)) nearest `rows` of every query by d = 1 − cosine, nearest first.

    Both arrays must hold unit rows (`unit_rows`).

    Returns
    -------
    indices : ndarray of shape (len(queries), min(k, len(rows))), int32
    distances : same shape, float32, in [0, 2]
    """
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    with search_threads(threads):
        similarities, indices = index.search(queries, min(k, len(rows)))
    # Rounding gives equal rows a similarity slightly above 1.
    distances = np.clip(np.float32(1) - similarities, 0, 2)
    return ordered(indices.astype(np.int32), distances)


def ordered(
    indices: NDArray[np.int32], distances: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return each row sorted by (distance, index); the search library orders ties arbitrarily."""
    by_index = np.argsort(indices, axis=1, kind="stable")
    distances = np.take_along_axis(distances, by_index, axis=1)
    by_distance = np.argsort(distances, axis=1, kind="stable")
    indices = np.take_along_axis(np.take_along_axis(indices, by_index, axis=1), by_distance, axis=1)
    return indices, np.take_along_axis(distances, by_distance, axis=1)


def _without_self(
    indices: NDArray[np.int32], distances: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return each row's neighbours without the row itself."""
    n, width = indices.shape
    own = indices == np.arange(n, dtype=np.int32)[:, None]
    # With more copies than neighbours, a row may be missing from its own list: then its farthest neighbour is dropped.
    own[~own.any(axis=1), -1] = True
    keep = ~own
    return indices[keep].reshape(n, width - 1), distances[keep].reshape(n, width - 1)


@contextmanager
def search_threads(threads: int | None) -> Iterator[None]:
    """Set the search library's number of threads inside the block."""
    before = faiss.omp_get_max_threads()
    if threads is not None:
        faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
