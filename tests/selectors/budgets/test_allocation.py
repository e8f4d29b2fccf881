import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.budgets import allocate_loop

from curate.selectors.budgets.allocation import allocate, mean_degradation, round_to_total, water_fill


def allot(weight, upper, total, lower=None):
    lower = [0] * len(upper) if lower is None else lower
    return allocate(np.array(weight, float), np.array(lower), np.array(upper), total).tolist()


def test_proportional_to_degradation_when_nothing_is_full():
    assert allot([1.0, 2.0, 1.0], [100, 100, 100], 40) == [10, 20, 10]


def test_the_share_of_a_full_cluster_goes_to_the_others():
    assert allot([8.0, 1.0, 1.0], [10, 100, 100], 40) == [10, 15, 15]


def test_overflow_cascades_over_several_fillings():
    # At first only cluster 0 is over; its excess pushes cluster 1 over, whose excess goes to cluster 2.
    assert allot([6.0, 3.0, 1.0], [10, 12, 100], 40) == [10, 12, 18]


def test_one_rounding_by_largest_remainder_ties_by_position():
    assert allot([1.0, 1.0, 1.0], [9, 9, 9], 10) == [4, 3, 3]
    assert allot([1.0, 1.0, 1.0], [9, 9, 9], 11) == [4, 4, 3]


def test_the_remainder_goes_to_clusters_without_degradation_by_size():
    assert allot([1.0, 0.0, 0.0], [5, 10, 30], 25) == [5, 5, 15]
    assert allot([1.0, 0.0, 0.0], [50, 10, 30], 25) == [25, 0, 0]


def test_no_degradation_at_all_means_proportional_to_size():
    assert allot([0.0, 0.0], [10, 30], 8) == [2, 6]
    assert allot([np.nan, np.nan], [10, 30], 8) == [2, 6]


def test_all_is_taken_when_the_budget_is_larger():
    assert allot([1.0, 0.0], [3, 4], 100) == [3, 4]


def test_pins_count_towards_their_clusters_budget():
    assert allot([1.0, 1.0], [100, 100], 20, lower=[4, 0]) == [10, 10]
    assert allot([1.0, 1.0], [100, 100], 20, lower=[16, 0]) == [16, 4]
    assert allot([0.0, 1.0], [100, 100], 20, lower=[3, 0]) == [3, 17]


@st.composite
def clusters(draw):
    k = draw(st.integers(1, 8))
    upper = draw(st.lists(st.integers(0, 60), min_size=k, max_size=k))
    lower = [draw(st.integers(0, min(up, draw(st.sampled_from([0, 0, up]))))) for up in upper]
    weight = draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0, 0.5, 7.0, 1e-9, 1e6]), min_size=k, max_size=k))
    total = draw(st.integers(sum(lower), sum(upper) + 5))
    return weight, lower, upper, total


@given(clusters())
def test_allocation_agrees_with_exact_fractions(case):
    weight, lower, upper, total = case
    got = allot(weight, upper, total, lower)
    assert got == allocate_loop(weight, lower, upper, total)
    assert sum(got) == min(total, sum(upper))
    assert all(lo <= n <= up for lo, n, up in zip(lower, got, upper, strict=True))


@given(
    st.lists(st.tuples(st.floats(1e-300, 1e300), st.integers(0, 10**9)), min_size=1, max_size=30),
    st.floats(0.0, 1.0),
)
def test_quota_is_met_for_adversarial_weights(pairs, share):
    weight, upper = [w for w, _ in pairs], [up for _, up in pairs]
    total = int(share * sum(upper))
    got = allot(weight, upper, total)
    assert sum(got) == total
    assert all(0 <= n <= up for n, up in zip(got, upper, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_quota_is_met_with_many_clusters_of_extreme_sizes(seed):
    rng = np.random.default_rng(seed)
    upper = rng.integers(0, 10 ** rng.integers(1, 7, 500))
    weight = rng.gamma(0.05, 1.0, 500)
    total = int(rng.random() * upper.sum())
    got = allocate(weight, np.zeros(500, int), upper, total)
    assert got.sum() == total
    assert (got <= upper).all()


def test_water_level_is_the_same_for_all_free_clusters():
    weight, upper = np.array([5.0, 1.0, 2.0]), np.array([4, 100, 100])
    share = water_fill(weight, np.zeros(3, int), upper, 34)
    assert share.tolist() == [4.0, 10.0, 20.0]


def test_rounding_treats_remainders_within_rounding_error_as_equal():
    assert round_to_total(np.array([1.5 - 1e-12, 2.5, 3.0]), 7).tolist() == [2, 2, 3]


def test_mean_degradation_ignores_nan():
    cds = np.array([0.1, np.nan, 0.3, 0.5])
    means = mean_degradation(cds, np.array([0, 0, 0, 2]), 3)
    assert means[0] == pytest.approx(0.2)
    assert np.isnan(means[1])
    assert means[2] == 0.5
