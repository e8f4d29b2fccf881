import numpy as np
import pytest
from references.blobs import blobs, ring
from references.clustering import coordinates_dense, operator_dense
from scipy import sparse

from curate.selectors.clustering import diffusion
from curate.selectors.clustering.diffusion import diffusion_coordinates, diffusion_operator, leading_eigenpairs
from curate.selectors.clustering.graph import build_graph
from curate.selectors.neighbours.exact import unit_rows


def graph_of(n: int, groups: int, noise: float = 0.25) -> sparse.csr_array:
    return build_graph(unit_rows(blobs(n, groups, noise=noise)[0]), 12).affinity


def two_cliques(bridge: float) -> sparse.csr_array:
    dense = np.kron(np.eye(2), np.ones((4, 4))) - np.eye(8)
    dense[3, 4] = dense[4, 3] = bridge
    return sparse.csr_array(dense)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_operator_agrees_with_dense_matrices(alpha: float) -> None:
    graph = graph_of(200, 4)
    op = diffusion_operator(graph, alpha)
    matrix, degrees = operator_dense(graph.toarray(), alpha)
    np.testing.assert_allclose(op.matrix.toarray(), matrix, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(op.degrees, degrees, rtol=1e-12)
    assert abs(op.matrix - op.matrix.T).max() == 0


@pytest.mark.parametrize("n", [200, 500])
def test_leading_pairs_agree_with_a_dense_solver(n: int) -> None:
    op = diffusion_operator(graph_of(n, 4))
    spectrum = leading_eigenpairs(op, 6, seed=0)
    assert spectrum.solver == ("dense" if n == 200 else "arpack")
    values, vectors = np.linalg.eigh(op.matrix.toarray())
    np.testing.assert_allclose(spectrum.values, values[::-1][:6], atol=2e-3)
    # The leading four span one space, whatever the basis: compare projections.
    ours, theirs = spectrum.vectors[:, :4], vectors[:, ::-1][:, :4]
    np.testing.assert_allclose(np.linalg.svd(ours.T @ theirs)[1], 1, atol=1e-3)
    np.testing.assert_allclose(spectrum.vectors.T @ spectrum.vectors, np.eye(6), atol=1e-4)


def test_every_component_has_the_eigenvalue_one_exactly() -> None:
    pieces = [graph_of(400, 1), graph_of(30, 1), sparse.csr_array((1, 1)), graph_of(350, 1)]
    op = diffusion_operator(sparse.csr_array(sparse.block_diag(pieces)))
    spectrum = leading_eigenpairs(op, 5, seed=0)
    assert (spectrum.values[:3] == 1).all()
    assert (spectrum.values[3:] < 1).all()
    # Largest piece first, and the isolated row in none of them.
    starts = np.abs(spectrum.vectors[:, :3]).argmax(axis=0)
    assert (starts[0] < 400, 431 <= starts[1], 400 <= starts[2] < 430) == (True, True, True)
    assert not spectrum.vectors[430].any()
    np.testing.assert_allclose(op.matrix @ spectrum.vectors[:, :3], spectrum.vectors[:, :3], atol=1e-12)


def test_more_components_than_pairs_takes_the_largest() -> None:
    pieces = [graph_of(n, 1) for n in (20, 40, 30)]
    spectrum = leading_eigenpairs(diffusion_operator(sparse.csr_array(sparse.block_diag(pieces))), 2, seed=0)
    assert spectrum.values.tolist() == [1, 1]
    assert np.flatnonzero(spectrum.vectors.any(axis=1)).tolist() == list(range(20, 90))


def test_isolated_rows_do_not_take_pairs_from_the_others() -> None:
    op = diffusion_operator(sparse.csr_array(sparse.block_diag([graph_of(100, 3), sparse.csr_array((6, 6))])))
    spectrum = leading_eigenpairs(op, 4, seed=0)
    assert (spectrum.values > 0).all()
    assert not spectrum.vectors[100:].any()


def test_the_second_vector_separates_two_cliques() -> None:
    op = diffusion_operator(two_cliques(0.01))
    second = leading_eigenpairs(op, 2, seed=0).vectors[:, 1]
    assert (np.sign(second[:4]) == np.sign(second[0])).all()
    assert (np.sign(second[4:]) == -np.sign(second[0])).all()


def test_signs_are_fixed() -> None:
    vectors = leading_eigenpairs(diffusion_operator(graph_of(500, 4)), 5, seed=3).vectors
    assert (np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0) > 0).all()


def test_same_seed_same_bits() -> None:
    op = diffusion_operator(graph_of(600, 5))
    first, again = leading_eigenpairs(op, 6, seed=7), leading_eigenpairs(op, 6, seed=7)
    assert first.vectors.tobytes() == again.vectors.tobytes()
    np.testing.assert_allclose(leading_eigenpairs(op, 5, seed=8).values, first.values[:5], atol=2e-3)


def test_subspace_iteration_is_the_fallback_without_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    # A ring's leading eigenvalues lie so close together that one restart is never enough.
    op = diffusion_operator(build_graph(unit_rows(ring(800)), 2).affinity)
    exact = np.linalg.eigvalsh(op.matrix.toarray())[::-1][:4]
    monkeypatch.setattr(diffusion, "ARPACK_RESTARTS", 1)
    spectrum = leading_eigenpairs(op, 4, seed=0)
    assert spectrum.solver == "subspace"
    np.testing.assert_allclose(spectrum.values, exact, atol=5e-3)
    np.testing.assert_allclose(spectrum.vectors.T @ spectrum.vectors, np.eye(4), atol=1e-8)


@pytest.mark.parametrize("t", [0.0, 1.0, 3.0])
def test_coordinates_agree_with_the_random_walk(t: float) -> None:
    graph = build_graph(unit_rows(blobs(120, 3, noise=0.3, seed=2)[0]), 12).affinity
    op = diffusion_operator(graph)
    ours = diffusion_coordinates(leading_eigenpairs(op, 3, seed=0), op, t)
    theirs = coordinates_dense(graph.toarray(), t)
    assert ours.dtype == np.float32
    for column in range(2):
        sign = np.sign(ours[:, column] @ theirs[:, column])
        np.testing.assert_allclose(ours[:, column], sign * theirs[:, column], atol=1e-4)


def test_coordinates_of_a_ring_are_a_circle() -> None:
    op = diffusion_operator(build_graph(unit_rows(ring(100)), 6).affinity)
    spread = np.linalg.norm(diffusion_coordinates(leading_eigenpairs(op, 3, seed=0), op, 0), axis=1)
    np.testing.assert_allclose(spread, spread[0], rtol=1e-3)


def test_coordinates_separate_components() -> None:
    op = diffusion_operator(sparse.csr_array(sparse.block_diag([graph_of(40, 1), graph_of(60, 1), graph_of(50, 1)])))
    drawn = diffusion_coordinates(leading_eigenpairs(op, 3, seed=0), op)
    pieces = [drawn[:40], drawn[40:100], drawn[100:]]
    for piece in pieces:
        np.testing.assert_allclose(piece - piece[0], 0, atol=1e-4)
    assert len({tuple(np.round(piece[0], 3)) for piece in pieces}) == 3


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_graphs(n: int) -> None:
    op = diffusion_operator(sparse.csr_array(np.ones((n, n)) - np.eye(n)))
    spectrum = leading_eigenpairs(op, 3, seed=0)
    assert spectrum.vectors.shape == (n, n)
    drawn = diffusion_coordinates(spectrum, op)
    assert drawn.shape == (n, 2)
    assert np.isfinite(drawn).all()
