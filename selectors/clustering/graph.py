"""Builds the connected affinity graph of a set of rows.

Nearest neighbours alone often leave several components (above all groups of near-copies), and every component takes one
of the leading eigenvectors, which are then missing for the structure. So components are linked until one is left.
Source: neighbours and affinity of PASER, arXiv 2502.12594 §3.1; the linking is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from curate.selectors.clustering.affinity import SCALE_FLOOR, SCALE_NEIGHBOUR, Bandwidth, affinity, scales
from curate.selectors.neighbours.exact import nearest, neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray


LISTED = 4
"""Length of a neighbour list in units of `n_neighbours`: about half of the pairs in lists of 60 are mutual."""

LARGE_PIECE = 3
"""A piece with more rows than a neighbour list gets this many times fewer links: it is a group of its own. A smaller
one is cut off only because its rows are so near one another, and belongs to its surroundings."""

LISTED_SHARE = 10
"""Lists are at most a tenth of the rows: longer ones would bridge groups that are smaller than a list."""


@dataclass(frozen=True)
class Graph:
    """A connected affinity graph over n rows."""

    affinity: sparse.csr_array
    """Shape (n, n), symmetric, entries in (0, 1], empty diagonal."""
    sigma: NDArray[np.float64]
    """Scale of each row in cosine distance, shape (n,)."""
    nearest: NDArray[np.float32]
    """Distance of each row to its nearest neighbour, shape (n,); empty for a single row."""
    n_pieces: int
    """Connected components before linking."""


def build_graph(
    rows: NDArray[np.float32], n_neighbours: int, bandwidth: Bandwidth = "self-tuning", *, threads: int | None = None
) -> Graph:
    """Return the affinity graph of mutual nearest neighbours, with its components linked.

    Parameters
    ----------
    rows : ndarray of shape (n, width), float32
        Unit rows, n ≥ 1.
    n_neighbours : int
        A row's list holds four times as many, a tenth of the rows if that is less, and at least `n_neighbours`.
    bandwidth : {"self-tuning", "median"}
    threads : int, optional
        Threads of the neighbour search.
    """
    width = max(n_neighbours, min(LISTED * n_neighbours, len(rows) // LISTED_SHARE))
    indices, distances = neighbours(rows, width, threads=threads)
    graph = affinity(indices, distances, bandwidth)
    n_pieces = int(connected_components(graph, directed=False)[0])
    joined = join_pieces(rows, graph, n_neighbours, large=width, threads=threads)
    return Graph(joined, scales(distances, bandwidth, width), distances[:, :1].ravel(), n_pieces)


def join_pieces(
    rows: NDArray[np.float32],
    graph: sparse.csr_array,
    n_links: int,
    *,
    large: int | None = None,
    threads: int | None = None,
) -> sparse.csr_array:
    """Return the graph with links added between its components until it is connected.

    **Choice.** From each component at most `n_links` rows, evenly spread over its members, are linked to the `n_links`
    nearest such rows of other components, with weight exp(−(d/σ)²), σ the distance to the 7th of those. This repeats
    while components remain, at most log₂(n) times since every component gains a link. The number of links does not grow
    with the component, so a dozen near-copies merge into their surroundings and a large separate topic stays separate.

    Parameters
    ----------
    rows : ndarray of shape (n, width), float32
        Unit rows.
    graph : csr_array of shape (n, n)
    n_links : int
    large : int, optional
        Pieces with more rows have a third of the links; by default all have as many.
    threads : int, optional
    """
    number, piece = connected_components(graph, directed=False)
    while number > 1:
        graph = _symmetric_maximum(graph, _links(rows, piece, _allowed(piece, n_links, large), threads))
        number, piece = connected_components(graph, directed=False)
    return graph


def _allowed(piece: NDArray[np.int32], n_links: int, large: int | None) -> NDArray[np.int64]:
    """Return the number of links of each piece, both of representatives and of links of each."""
    allowed = np.full(int(piece.max()) + 1, n_links, np.int64)
    if large is not None:
        allowed[np.bincount(piece) > large] = max(1, n_links // LARGE_PIECE)
    return allowed


def _links(
    rows: NDArray[np.float32], piece: NDArray[np.int32], allowed: NDArray[np.int64], threads: int | None
) -> sparse.csr_array:
    """Return directed links from representatives of each component to the nearest ones of other components."""
    chosen = _representatives(piece, allowed)
    most = allowed[piece[chosen]]
    # At most `most` of the nearest are in the row's own component, so there are `most` outside among twice as many, if
    # there are as many.
    near, distances = nearest(rows[chosen], rows[chosen], 2 * int(allowed.max()), threads=threads)
    outside = piece[chosen][near] != piece[chosen][:, None]
    outside &= np.cumsum(outside, axis=1) <= most[:, None]
    count = outside.sum(axis=1)
    source = np.repeat(np.arange(len(chosen)), count)
    starts = np.cumsum(count) - count
    link_distances = distances[outside].astype(np.float64)
    sigma = np.maximum(link_distances[starts + np.minimum(SCALE_NEIGHBOUR, count) - 1], SCALE_FLOOR)
    # The first seven are within σ, so each row has links of at least exp(−1) and every round connects components.
    weights = np.exp(-((link_distances / sigma[source]) ** 2))
    n = len(piece)
    return sparse.csr_array((weights, (chosen[source], chosen[near[outside]])), shape=(n, n))


def _representatives(piece: NDArray[np.int32], most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most `most` rows of each component, evenly spread over its members, ascending."""
    members = np.argsort(piece, kind="stable")
    sizes = np.bincount(piece)
    place = np.arange(len(piece)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    size = np.repeat(sizes, sizes)
    take = np.minimum(np.repeat(most, sizes), size)
    # Bresenham's rule: member j of `size` is taken where ⌊j · take / size⌋ increases, which gives exactly `take`.
    picked = (place + 1) * take // size > place * take // size
    return np.sort(members[picked])


def _symmetric_maximum(graph: sparse.csr_array, links: sparse.csr_array) -> sparse.csr_array:
    both: Any = graph.maximum(links).maximum(links.T).tocsr()
    both.eliminate_zeros()
    both.sort_indices()
    return sparse.csr_array(both)
