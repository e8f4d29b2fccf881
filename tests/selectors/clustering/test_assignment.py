import math

import numpy as np
import pytest
from references.blobs import blobs

from curate.selectors.clustering.affinity import Bandwidth
from curate.selectors.clustering.assignment import FARTHEST, Landmarks, assign, drift, radius
from curate.selectors.neighbours.compressed_index import CompressedIndex
from curate.selectors.neighbours.exact import unit_rows


def landmarks_of(n: int = 120, groups: int = 3, sigma: float = 0.05) -> Landmarks:
    rows, group = blobs(n, groups)
    drawn = np.column_stack([group, -group]).astype(np.float32)
    return Landmarks(unit_rows(rows), np.full(n, sigma), np.eye(groups)[group], drawn, 0.2)


@pytest.mark.parametrize("bandwidth", ["self-tuning", "median"])
def test_new_rows_join_the_group_they_come_from(bandwidth: Bandwidth) -> None:
    rows, group = blobs(90, 3, seed=9)
    joined = assign(unit_rows(rows), landmarks_of(), 10, bandwidth)
    assert np.array_equal(joined.labels, group)
    assert (joined.membership > 0.99).all()
    np.testing.assert_allclose(joined.coordinates[:, 0], group, atol=0.05)
    assert joined.labels.dtype == np.int32
    assert joined.membership.dtype == joined.coordinates.dtype == np.float32


def test_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    known, query = unit_rows(rng.standard_normal((40, 5))), unit_rows(rng.standard_normal((7, 5)))
    sigma, shares = rng.uniform(0.1, 0.5, 40), rng.dirichlet(np.ones(3), 40)
    joined = assign(query, Landmarks(known, sigma, shares, np.zeros((40, 2), np.float32), 0.3), 8)
    for i, row in enumerate(query.astype(np.float64)):
        distance = 1 - known.astype(np.float64) @ row
        near = np.argsort(distance)[:8]
        own = np.sort(distance)[6]
        weights = np.array([np.exp(-(distance[j] ** 2) / (own * sigma[j])) for j in near])
        mean = sum(w * shares[j] for w, j in zip(weights, near, strict=True)) / weights.sum()
        assert joined.labels[i] == mean.argmax()
        assert joined.membership[i] == pytest.approx(mean.max(), rel=1e-4)
        assert joined.far[i] == (distance.min() > 0.3)


def test_a_row_far_from_all_landmarks_gets_the_nearest_label() -> None:
    landmarks = landmarks_of(sigma=1e-6)
    joined = assign(unit_rows(-np.ones((1, 24), np.float32)), landmarks, 10)
    assert joined.far.tolist() == [True]
    assert 0 < joined.membership[0] <= 1
    assert np.isfinite(joined.coordinates).all()


def test_the_landmarks_themselves_are_not_far() -> None:
    landmarks = landmarks_of()
    assert not assign(landmarks.rows, landmarks, 10).far.any()


def test_assignment_does_not_depend_on_other_rows() -> None:
    rows = unit_rows(blobs(50, 3, seed=4)[0])
    for bandwidth in ("self-tuning", "median"):
        whole = assign(rows, landmarks_of(), 10, bandwidth)
        half = assign(rows[:25], landmarks_of(), 10, bandwidth)
        np.testing.assert_allclose(whole.membership[:25], half.membership, rtol=1e-5)


def test_no_rows() -> None:
    assert assign(np.empty((0, 24), np.float32), landmarks_of(), 10).labels.shape == (0,)


def test_radius_is_a_percentile_or_the_largest_distance() -> None:
    assert radius(np.arange(101, dtype=np.float32) / 100) == pytest.approx(0.99)
    assert radius(np.empty(0, np.float32)) == FARTHEST


@pytest.mark.parametrize(
    ("n_far", "n", "drifted"),
    [(0, 0, False), (0, 5000, False), (50, 5000, False), (75, 5000, False), (99, 5000, False), (110, 5000, True),
     (2, 20, False), (5, 20, True), (20, 20, True)],
)  # fmt: skip
def test_drift_needs_twice_the_expected_share_and_more_than_chance(n_far: int, n: int, drifted: bool) -> None:
    result = drift(n_far, n)
    assert result["drifted"] is drifted
    # The tail of the binomial distribution, term by term.
    tail = sum(math.comb(n, k) * 0.01**k * 0.99 ** (n - k) for k in range(n_far, n + 1)) if n <= 20 else None
    assert tail is None or result["p"] == pytest.approx(tail)


def test_positions_and_compressed_index_agree_with_all_rows_and_exact_search() -> None:
    rows = unit_rows(blobs(5_600, 40, width=48, noise=0.15)[0])
    fitted, others = np.arange(5_000), np.arange(5_599, 4_999, -1)
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 5_000)
    known = Landmarks(rows[fitted], np.full(5_000, 0.2), shares, np.zeros((5_000, 2), np.float32), 0.5)
    plain = assign(rows[others], known, 15)
    placed = assign(rows, known, 15, only=others)
    assert plain.labels.tobytes() == placed.labels.tobytes()
    assert plain.membership.tobytes() == placed.membership.tobytes()
    near = assign(rows, known, 15, only=others, index=CompressedIndex(known.rows))
    assert (near.labels == plain.labels).mean() > 0.95
    assert np.array_equal(near.far, plain.far)
