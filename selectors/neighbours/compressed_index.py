"""Nearest rows out of compressed rows: for very many queries, where the exact search would cost too much.

The rows are kept as product-quantised codes of half a byte for four dimensions (Jégou, Douze & Schmid 2011; the 4-bit
form of André, Kermarrec & Le Scouarnec 2017, as in faiss's FastScan), all of them are scanned, and the best candidates
are compared again exactly. Measured on 20,000 prompts of 384 dimensions: recall 0.998 of 15 neighbours in 0.4 of the
exact search's time, where a graph index (HNSW) took as long as the exact one. Knows nothing of clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import faiss
import numpy as np

from curate.selectors.neighbours.exact import nearest, ordered, search_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST = 5_000
"""With fewer rows the exact search is as fast, and there would be too few to learn codes from."""

CANDIDATES = 8
"""Rows compared again exactly, per neighbour asked for."""

RECALL_QUERIES = 1_000
"""Queries on which a recall is worth measuring."""

_DIMENSIONS_PER_CODE = 4


class CompressedIndex:
    """An index over unit rows; same rows and machine: same codes, whatever the threads.

    Parameters
    ----------
    rows : ndarray of shape (m, width), float32
        Unit rows. With fewer than 5,000 nothing is compressed and the search is exact.
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
        """Return nearly always the nearest rows of every query by d = 1 − cosine, nearest first.

        Parameters
        ----------
        queries : ndarray of shape (n, width), float32
            Unit rows.
        k : int
        threads : int, optional
            Threads of the search; the process's default if not given.

        Returns
        -------
        indices : ndarray of shape (n, min(k, m)), int32
        distances : same shape, float32
            Exact distances of the rows given, in [0, 2].
        """
        if self._index is None or k * CANDIDATES > len(self._rows):
            return nearest(queries, self._rows, k, threads=threads)
        with search_threads(threads):
            similarities, indices = self._index.search(_padded(queries), k)
        return ordered(indices.astype(np.int32), np.clip(np.float32(1) - similarities, 0, 2))

    def recall(self, queries: NDArray[np.float32], k: int, *, threads: int | None = None) -> float:
        """Return the share of the true `k` nearest rows that `nearest` finds, over all these queries."""
        found, true = self.nearest(queries, k, threads=threads)[0], nearest(queries, self._rows, k, threads=threads)[0]
        return float((found[:, :, None] == true[:, None, :]).any(axis=2).mean())


def _build(rows: NDArray[np.float32]) -> faiss.IndexRefineFlat:
    padded = _padded(rows)
    width = padded.shape[1]
    codes = faiss.IndexPQFastScan(width, width // _DIMENSIONS_PER_CODE, 4, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexRefineFlat(codes)
    index.k_factor = CANDIDATES
    with search_threads(1):
        index.train(padded)
        index.add(padded)
    return index


def _padded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows with zeros up to a width that divides into codes: no inner product changes."""
    missing = -rows.shape[1] % _DIMENSIONS_PER_CODE
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows
