import numpy as np
import pytest
from references.blobs import blobs
from references.clustering import heldout_modularity_loop
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from curate.selectors.clustering.graph import build_graph
from curate.selectors.clustering.modularity import (
    EdgeSplit,
    evaluate,
    heldout_modularity,
    hold_out,
    undirected_edges,
)
from curate.selectors.neighbours.exact import unit_rows


def graph_of(n: int, groups: int, noise: float = 0.12, seed: int = 0) -> sparse.csr_array:
    return build_graph(unit_rows(blobs(n, groups, noise=noise, seed=seed)[0]), 10).affinity


def split_of(graph: sparse.csr_array, seed: int = 0) -> EdgeSplit:
    return hold_out(graph.shape[0], undirected_edges(graph), 8, seed=seed)


def test_agrees_with_loops() -> None:
    graph = graph_of(120, 4)
    split = split_of(graph)
    held = list(zip(*(part.tolist() for part in split.held_out), strict=True))
    training = graph.toarray()
    for i, j, _ in held:
        training[i, j] = training[j, i] = 0
    labels = np.random.default_rng(1).integers(0, 5, 120).astype(np.int32)
    np.testing.assert_allclose(
        heldout_modularity(labels, split), heldout_modularity_loop(labels, training, held), rtol=1e-12
    )


def test_a_fifth_of_the_edges_is_held_out_of_the_operator() -> None:
    graph = graph_of(150, 3)
    split = split_of(graph)
    rows, columns, weights = split.held_out
    assert len(rows) == round(0.2 * graph.nnz / 2)
    assert (rows < columns).all()
    np.testing.assert_array_equal(weights, graph.toarray()[rows, columns])
    assert not split.matrix.toarray()[rows, columns].any()
    assert split.matrix.nnz == graph.nnz - 2 * len(rows)
    assert split.degree_share.sum() == pytest.approx(1)
    assert connected_components(split.matrix, directed=False)[0] == 1


def test_splits_differ_by_seed_only() -> None:
    graph = graph_of(100, 3)
    assert np.array_equal(split_of(graph, 1).held_out[0], split_of(graph, 1).held_out[0])
    assert not np.array_equal(split_of(graph, 1).held_out[0], split_of(graph, 2).held_out[0])


def test_known_values() -> None:
    halves = np.array([0, 0, 1, 1], np.int32)
    share = np.full(4, 0.25)
    empty = sparse.csr_array((4, 4))
    within = EdgeSplit(empty, np.eye(4), share, (np.array([0, 2]), np.array([1, 3]), np.ones(2)), 0)
    across = EdgeSplit(empty, np.eye(4), share, (np.array([0, 1]), np.array([2, 3]), np.ones(2)), 0)
    assert heldout_modularity(halves, within) == 0.5
    assert heldout_modularity(halves, across) == -0.5
    assert heldout_modularity(np.zeros(4, np.int32), within) == 0


def test_stability_is_one_where_the_splits_agree() -> None:
    graph = graph_of(200, 2, noise=0.05)
    splits = [split_of(graph, seed) for seed in range(3)]
    point = evaluate(splits, unit_rows(blobs(200, 2, noise=0.05)[0]), 2)
    assert (point.k, point.stability) == (2, 1.0)
