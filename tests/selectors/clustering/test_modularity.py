import numpy as np
import pytest
from references.blobs import blobs
from references.clustering import heldout_modularity_loop
from scipy import sparse

from curate.selectors.clustering.graph import build_graph
from curate.selectors.clustering.modularity import (
    GRID,
    EdgeSplit,
    choose_n_clusters,
    evaluate,
    heldout_modularity,
    hold_out,
)
from curate.selectors.neighbours.exact import unit_rows


def graph_of(n: int, groups: int, noise: float = 0.12, seed: int = 0) -> sparse.csr_array:
    return build_graph(unit_rows(blobs(n, groups, noise=noise, seed=seed)[0]), 10).affinity


def split_of(graph: sparse.csr_array, seed: int = 0) -> EdgeSplit:
    upper = sparse.triu(graph, k=1, format="coo")
    return hold_out(graph.shape[0], upper.row, upper.col, upper.data, 8, seed=seed)


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


@pytest.mark.parametrize("groups", [2, 4, 7])
def test_chooses_the_planted_number(groups: int) -> None:
    chosen, curve = choose_n_clusters(graph_of(30 * groups, groups, noise=0.06), seed=0)
    assert chosen == groups
    point = next(point for point in curve if point.k == groups)
    assert point.stability > 0.95
    assert 0.5 < point.modularity / (1 - 1 / groups) < 1.1


def test_the_curve_has_a_maximum_and_is_complete() -> None:
    chosen, curve = choose_n_clusters(graph_of(210, 5, noise=0.2), seed=0)
    tried = [point.k for point in curve]
    assert tried == sorted(set(tried))
    assert set(GRID) <= set(tried)
    assert chosen == max(curve, key=lambda point: (point.modularity, -point.k)).k
    assert curve[-1].modularity < max(point.modularity for point in curve) > curve[0].modularity
    assert all(point.modularity_std >= 0 and -1 <= point.stability <= 1 for point in curve)


def test_same_seed_same_curve() -> None:
    graph = graph_of(100, 4, noise=0.3)
    assert choose_n_clusters(graph, seed=5) == choose_n_clusters(graph, seed=5)


def test_stability_is_one_where_the_splits_agree() -> None:
    graph = graph_of(200, 2, noise=0.05)
    splits = [split_of(graph, seed) for seed in range(3)]
    point = evaluate(splits, 2)
    assert (point.k, point.stability) == (2, 1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_too_few_rows_are_one_cluster(n: int) -> None:
    assert choose_n_clusters(sparse.csr_array(np.ones((n, n)) - np.eye(n)), seed=0) == (1, ())


def test_a_graph_without_structure_is_one_cluster() -> None:
    complete = sparse.csr_array(np.ones((40, 40)) - np.eye(40))
    chosen, curve = choose_n_clusters(complete, seed=0)
    assert chosen == 1
    assert all(point.modularity <= 0 for point in curve)
