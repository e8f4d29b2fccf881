import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.blobs import blobs
from references.clustering import distances_dense, neighbours_loop

from curate.schemas.errors import InputError, UsageError
from curate.selectors.neighbours.exact import nearest, neighbours, unit_rows


def test_agrees_with_a_full_sort() -> None:
    rows, _ = blobs(200, 5)
    indices, distances = neighbours(rows, 15)
    expected = neighbours_loop(rows, 15)
    assert indices.shape == distances.shape == (200, 15)
    assert indices.dtype == np.int32
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, [[d for d, _ in row] for row in expected], atol=3e-7)
    assert indices.tolist() == [[j for _, j in row] for row in expected]


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30), k=st.integers(1, 40), distinct=st.integers(1, 30), seed=st.integers(0, 99))
def test_lists_hold_the_nearest_other_rows_with_any_repetitions(n: int, k: int, distinct: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((distinct, 6)).astype(np.float32)[rng.integers(0, distinct, n)]
    indices, distances = neighbours(rows, k)
    assert indices.shape == (n, min(k, n - 1))
    dense = distances_dense(rows)
    for i in range(n):
        assert i not in indices[i]
        assert len(set(indices[i].tolist())) == len(indices[i])
        others = np.sort(np.delete(dense[i], i))[: indices.shape[1]]
        np.testing.assert_allclose(distances[i], others, atol=1e-6)
        np.testing.assert_allclose(dense[i][indices[i]], distances[i], atol=1e-6)


def test_more_copies_than_neighbours_still_exclude_the_row_itself() -> None:
    rows = np.tile(np.array([[3.0, 4.0]], np.float32), (100, 1))
    indices, distances = neighbours(rows, 15)
    assert all(i not in indices[i] for i in range(100))
    assert distances.max() < 1e-6


def test_ties_go_to_the_lower_index() -> None:
    rows = np.eye(6, dtype=np.float32)
    indices, distances = neighbours(rows, 5)
    assert indices.tolist() == [[j for j in range(6) if j != i] for i in range(6)]
    assert (distances == 1).all()


def test_zero_rows_are_at_distance_one_from_everything() -> None:
    rows, _ = blobs(20, 2)
    rows[[3, 7]] = 0
    _, distances = neighbours(rows, 5)
    assert (distances[[3, 7]] == 1).all()
    assert np.isfinite(distances).all()


def test_length_does_not_matter() -> None:
    rows, _ = blobs(60, 3)
    scaled = rows * np.float32(2.0) ** np.arange(-30, 30, dtype=np.float32)[:, None]
    assert np.array_equal(neighbours(rows, 7)[0], neighbours(scaled, 7)[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_errors_name_the_non_finite_row(bad: float) -> None:
    rows, _ = blobs(40, 2)
    rows[17, 5] = bad
    with pytest.raises(InputError, match=f"row 17 has {bad} in dimension 5"):
        neighbours(rows, 5)


@pytest.mark.parametrize("shape", [(4,), (4, 0), (2, 2, 2)])
def test_wrong_shapes_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        unit_rows(np.zeros(shape, np.float32))


def test_no_neighbours_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="number of neighbours 0 is too small"):
        neighbours(np.eye(3, dtype=np.float32), 0)


def test_unit_rows_have_length_one_and_the_input_is_unchanged() -> None:
    rows, _ = blobs(30, 3)
    before = rows.copy()
    unit = unit_rows(rows)
    assert np.array_equal(rows, before)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)


def test_threads_are_restored_and_do_not_change_the_bits() -> None:
    import faiss

    rows, _ = blobs(300, 4)
    before = faiss.omp_get_max_threads()
    one, two = neighbours(rows, 15, threads=1), neighbours(rows, 15, threads=2)
    assert faiss.omp_get_max_threads() == before
    assert np.array_equal(one[0], two[0])
    assert one[1].tobytes() == two[1].tobytes()


def test_nearest_returns_at_most_all_rows() -> None:
    rows = unit_rows(blobs(4, 2)[0])
    indices, _ = nearest(rows[:2], rows, 10)
    assert np.sort(indices, axis=1).tolist() == [[0, 1, 2, 3]] * 2
    assert indices[:, 0].tolist() == [0, 1]
