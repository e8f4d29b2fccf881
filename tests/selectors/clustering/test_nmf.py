import numpy as np
import pytest
from references.blobs import blobs
from references.clustering import error_dense, factorise_loop, same_partition
from scipy import sparse

from curate.selectors.clustering.diffusion import diffusion_operator, leading_eigenpairs
from curate.selectors.clustering.graph import build_graph
from curate.selectors.clustering.nmf import (
    factorise,
    memberships,
    relabel_by_size,
    spectral_nmf,
    spectral_start,
    start_matrix,
)
from curate.selectors.neighbours.exact import unit_rows


def operator_of(n: int, groups: int, noise: float = 0.2) -> sparse.csr_array:
    return diffusion_operator(build_graph(unit_rows(blobs(n, groups, noise=noise)[0]), 12).affinity).matrix


def test_agrees_with_the_dense_update_from_the_same_start() -> None:
    matrix = operator_of(150, 4)
    start = start_matrix(matrix, blobs(150, 4)[1], 4)
    ours = factorise(matrix, start, max_iterations=15, tolerance=0)
    np.testing.assert_allclose(ours.matrix, factorise_loop(matrix.toarray(), start, 15), rtol=1e-9)
    assert (ours.iterations, ours.converged) == (15, False)


def test_the_error_never_increases() -> None:
    matrix = operator_of(120, 3)
    factor = start_matrix(matrix, np.random.default_rng(0).integers(0, 3, 120).astype(np.int32), 3)
    errors = [error_dense(matrix.toarray(), factor)]
    for _ in range(30):
        factor = factorise(matrix, factor, max_iterations=1).matrix
        errors.append(error_dense(matrix.toarray(), factor))
    assert (np.diff(errors) <= 1e-9).all()
    assert errors[-1] < errors[0]


def test_the_start_has_the_best_scale() -> None:
    matrix = operator_of(100, 3)
    start = start_matrix(matrix, blobs(100, 3)[1], 3)
    at = [error_dense(matrix.toarray(), start * scale) for scale in (0.98, 1.0, 1.02)]
    assert at[1] < min(at[0], at[2])
    assert set(np.round(start / start.min(), 9).ravel()) == {1.0, 6.0}


def test_two_cliques_with_a_weak_bridge() -> None:
    dense = np.kron(np.eye(2), np.ones((4, 4))) - np.eye(8)
    dense[3, 4] = dense[4, 3] = 0.01
    op = diffusion_operator(sparse.csr_array(dense))
    factor = spectral_nmf(op.matrix, leading_eigenpairs(op, 2, seed=0).vectors, 2, seed=0)
    assert same_partition(factor.matrix.argmax(axis=1).tolist(), [0, 0, 0, 0, 1, 1, 1, 1])
    assert factor.converged


def test_recovers_separated_groups() -> None:
    rows, group = blobs(240, 6, noise=0.1)
    op = diffusion_operator(build_graph(unit_rows(rows), 12).affinity)
    factor = spectral_nmf(op.matrix, leading_eigenpairs(op, 6, seed=0).vectors, 6, seed=1)
    assert same_partition(factor.matrix.argmax(axis=1).tolist(), group)
    assert memberships(factor.matrix).max(axis=1).mean() > 0.85


def test_fewer_directions_than_clusters_do_not_crash() -> None:
    vectors = np.repeat(np.eye(2), 5, axis=0)
    labels = spectral_start(np.column_stack([vectors, np.zeros((10, 2))]), 4, seed=0)
    assert same_partition(labels, [0] * 5 + [1] * 5)


def test_an_empty_operator_stays_finite() -> None:
    matrix = sparse.csr_array((3, 3))
    factor = factorise(matrix, start_matrix(matrix, np.zeros(3, np.int32), 2))
    assert memberships(factor.matrix).tolist() == [[0.5, 0.5]] * 3


def test_memberships_are_shares() -> None:
    shares = memberships(np.array([[1.0, 3.0], [0.0, 0.0]]))
    assert shares.tolist() == [[0.25, 0.75], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([5, 2, 2, 9, 9], [2, 0, 0, 1, 1]), ([3], [0]), ([1, 0, 1], [0, 1, 0]), ([0, 7, 7], [1, 0, 0])],
)
def test_labels_are_ordered_by_size_then_first_row(labels: list[int], expected: list[int]) -> None:
    renamed, n_clusters = relabel_by_size(np.array(labels, np.int32))
    assert renamed.tolist() == expected
    assert renamed.dtype == np.int32
    assert n_clusters == max(expected) + 1


def test_same_seed_same_bits() -> None:
    op = diffusion_operator(build_graph(unit_rows(blobs(300, 5, noise=0.3)[0]), 12).affinity)
    vectors = leading_eigenpairs(op, 5, seed=0).vectors
    first, again = (spectral_nmf(op.matrix, vectors, 5, seed=4).matrix for _ in range(2))
    assert first.tobytes() == again.tobytes()
