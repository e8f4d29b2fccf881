"""Nearest-neighbour search over product-quantised rows, for many queries where exact search is too slow.

Every four dimensions are encoded in half a byte (Jégou, Douze & Schmid 2011; in the 4-bit form of André, Kermarrec &
Le Scouarnec 2017, faiss's FastScan); all codes are scanned, and the best candidates are compared again exactly. On
20,000 prompts of 384 dimensions: recall 0.998 of 15 neighbours in 0.4 of the time of exact search; a graph index (HNSW)
took as long as exact search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import faiss
import numpy as np

from curate.selectors.neighbours.exact import nearest, ordered, search_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST = 5_000
"""Fewer rows are searched exactly: that is as fast, and they are too few to train codes on."""

CANDIDATES = 8
"""Rows compared again exactly, per neighbour requested."""

RECALL_QUERIES = 1_000
"""Number of queries on which recall is measured."""

_DIMENSIONS_PER_CODE = 4


class CompressedIndex:
    """An index over unit rows; same rows and machine: same codes, whatever the threads.

    Parameters
    ----------
    rows : ndarray of shape (m, width), float32
        Unit rows. With fewer than 5,000 the search is exact.
    """

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows
        self._index = _build(rows) if len(rows) >= SMALLEST else None

    @property
    def exact(self) -> bool:
        """Whether the search is exact."""
        return self._index is None

    def nearest(
        self, queries: NDArray[np.float32], k: int, *, threads: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the approximate nearest rows of every query by d = 1 − cosine, nearest first.

        Parameters
        ----------
        queries : ndarray of shape (n, width), float32
            Unit rows.
        k : int
        threads : int, optional
            Threads of the search; the process's default if omitted.

        Returns
        -------
        indices : ndarray of shape (n, min(k, m)), int32
        distances : same shape, float32
            Exact distances of the rows returned, in [0, 2].
        """
        if self._index is None or k * CANDIDATES > len(self._rows):
            return nearest(queries, self._rows, k, threads=threads)
        with search_threads(threads):
            similarities, indices = self._index.search(_padded(queries), k)
        return ordered(indices.astype(np.int32), np.clip(np.float32(1) - similarities, 0, 2))

    def recall(self, queries: NDArray[np.float32], k: int, *, threads: int | None = None) -> float:
        """Return the share of the true `k` nearest rows that `nearest` returns, over all queries."""
        own, true = self.nearest(queries, k, threads=threads)[0], nearest(queries, self._rows, k, threads=threads)[0]
        return float((own[:, :, None] == true[:, None, :]).any(axis=2).mean())


def _build(rows: NDArray[np.float32]) -> faiss.IndexRefineFlat:
    """Return the index of codes with exact re-ranking."""
    padded = _padded(rows)
    width = padded.shape[1]
    codes = faiss.IndexPQFastScan(width, width // _DIMENSIONS_PER_CODE, 4, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexRefineFlat(codes)
    index.k_factor = CANDIDATES
    # Codes are trained by k-means: with several threads sums, and so codes, would differ from run to run.
    with search_threads(1):
        index.train(padded)
        index.add(padded)
    return index


def _padded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows padded with zeros to a multiple of four dimensions; no inner product changes."""
    missing = -rows.shape[1] % _DIMENSIONS_PER_CODE
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows
