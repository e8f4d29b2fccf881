import numpy as np
import pytest
from references.blobs import blobs
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from curate.selectors.clustering.affinity import affinity
from curate.selectors.clustering.graph import build_graph, join_pieces
from curate.selectors.neighbours.exact import neighbours, unit_rows


def clumps(n_clumps: int, size: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Groups of near-copies, so tight that each is a piece of its own."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_clumps, 16))
    return unit_rows(
        (np.repeat(centres, size, axis=0) + 1e-4 * rng.standard_normal((n_clumps * size, 16))).astype("f4")
    )


@pytest.mark.parametrize(("n_clumps", "size"), [(2, 20), (40, 24), (90, 22), (5, 200)])
def test_components_are_linked_into_one_graph(n_clumps: int, size: int) -> None:
    rows = clumps(n_clumps, size)
    graph = build_graph(rows, 5)
    assert graph.n_pieces == n_clumps
    assert connected_components(graph.affinity, directed=False)[0] == 1
    dense = graph.affinity
    assert abs(dense - dense.T).max() == 0
    assert 0 < dense.data.min() <= dense.data.max() <= 1
    assert not dense.diagonal().any()


def test_a_connected_graph_is_unchanged() -> None:
    rows = unit_rows(blobs(100, 1)[0])
    lists = affinity(*neighbours(rows, 10))
    assert connected_components(lists, directed=False)[0] == 1
    assert (join_pieces(rows, lists, 10) != lists).nnz == 0


def test_the_number_of_links_does_not_grow_with_the_component() -> None:
    for size in (50, 400):
        rows = clumps(2, size)
        lists = affinity(*neighbours(rows, 5))
        joined = join_pieces(rows, lists, 5)
        halves = joined[:size, size:]
        assert 0 < halves.nnz <= 5 * 5
        assert (joined[:size, :size] != lists[:size, :size]).nnz == 0


def test_links_go_to_the_nearest_other_component() -> None:
    centres = np.array([[1, 0, 0], [0.9, 0.43589, 0], [0, 0.6, 0.8]], np.float32)
    rows = unit_rows(
        np.repeat(centres, 30, axis=0) + 1e-4 * np.random.default_rng(0).standard_normal((90, 3)).astype("f4")
    )
    joined = join_pieces(rows, affinity(*neighbours(rows, 4)), 4)
    assert joined[:30, 30:60].nnz > 0
    assert joined[30:60, 60:].nnz > 0
    assert joined[:30, 60:].nnz == 0


def test_isolated_rows_are_linked() -> None:
    rows = unit_rows(blobs(12, 3)[0])
    joined = join_pieces(rows, sparse.csr_array((12, 12)), 3)
    assert connected_components(joined, directed=False)[0] == 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_graphs(n: int) -> None:
    graph = build_graph(unit_rows(np.eye(3, dtype=np.float32)[:n]), 15)
    assert graph.affinity.shape == (n, n)
    assert graph.affinity.nnz == n * (n - 1)
    assert graph.n_pieces == 1
