import numpy as np
import pytest
from references.blobs import blobs
from references.clustering import affinity_loop

from curate.schemas.errors import UsageError
from curate.selectors.clustering.affinity import Bandwidth, affinity, scales
from curate.selectors.neighbours.exact import neighbours


@pytest.mark.parametrize("bandwidth", ["self-tuning", "median"])
@pytest.mark.parametrize("k", [3, 15])
def test_agrees_with_a_loop(bandwidth: Bandwidth, k: int) -> None:
    lists = neighbours(blobs(150, 4)[0], k)
    sparse = affinity(*lists, bandwidth)
    dense = affinity_loop(*lists, bandwidth)
    dense[dense < 1e-12] = 0
    np.testing.assert_allclose(sparse.toarray(), dense, rtol=1e-12)


def test_is_symmetric_with_an_empty_diagonal() -> None:
    graph = affinity(*neighbours(blobs(150, 4)[0], 15))
    dense = graph.toarray()
    assert np.array_equal(dense, dense.T)
    assert not dense.diagonal().any()
    assert graph.has_sorted_indices
    assert 0 < graph.data.min() <= graph.data.max() <= 1


def test_three_rows_by_hand() -> None:
    indices = np.array([[1], [0], [1]], np.int32)
    distances = np.array([[0.1], [0.1], [0.4]], np.float32)
    dense = affinity(indices, distances).toarray()
    # σ = (0.1, 0.1, 0.4): exp(−0.1²/0.1²) and exp(−0.4²/(0.4·0.1)).
    np.testing.assert_allclose(dense[0, 1], np.exp(-1), rtol=1e-6)
    np.testing.assert_allclose(dense[1, 2], np.exp(-4), rtol=1e-6)
    assert dense[0, 2] == 0


def test_only_mutual_neighbours_and_the_three_nearest_are_linked() -> None:
    angles = np.radians([0, 10, 20, 30, 40, 100])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    dense = affinity(*neighbours(rows, 4)).toarray() > 0
    # The last row is in no list: it keeps its three nearest, and not the fourth.
    assert dense[5].tolist() == [False, False, True, True, True, False]
    assert dense[:5, :5].tolist() == (1 - np.eye(5)).astype(bool).tolist()


def test_copies_get_the_floor_and_full_affinity() -> None:
    indices = np.array([[1, 2], [0, 2], [0, 1]], np.int32)
    distances = np.zeros((3, 2), np.float32)
    assert (scales(distances) == 1e-6).all()
    assert affinity(indices, distances).toarray().tolist() == (1 - np.eye(3)).tolist()


def test_the_scale_is_the_seventh_neighbour() -> None:
    distances = np.arange(1, 16, dtype=np.float32)[None] / 16
    assert scales(distances)[0] == 7 / 16
    assert scales(distances[:, :4])[0] == 4 / 16
    assert scales(distances, "median")[0] == 8 / 16


def test_rows_without_neighbours_make_an_empty_graph() -> None:
    graph = affinity(np.empty((1, 0), np.int32), np.empty((1, 0), np.float32))
    assert graph.shape == (1, 1)
    assert graph.nnz == 0


def test_an_unknown_bandwidth_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean 'median'"):
        scales(np.ones((2, 3), np.float32), "medain")  # type: ignore[arg-type]
