"""Intervals agree with loops and have the stated coverage; Holm's correction agrees with its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import intervals as slow

from curate.selectors.assessment import intervals
from curate.selectors.assessment.intervals import (
    Interval,
    Resampling,
    group_means,
    holm,
    percentile_interval,
    replicate_means,
    seeds_then_items,
    student_interval,
)

GROUP = np.array([0, 0, 0, 2, 2, 2, 2, 0, 3])


def test_replicates_agree_with_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random((3, len(GROUP)))
    expected = slow.replicate_means(values, GROUP, 5, 40, np.random.default_rng(7))
    result = replicate_means(values, GROUP, 5, 40, np.random.default_rng(7))
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert np.isnan(result[:, :, [1, 4]]).all()
    monkeypatch.setattr(intervals, "COUNTED_AT_ONCE", 9)  # smaller chunks give the same draws
    np.testing.assert_array_equal(replicate_means(values, GROUP, 5, 40, np.random.default_rng(7)), result)


@pytest.mark.filterwarnings("error")
def test_an_undefined_figure_has_no_interval_and_no_p() -> None:
    """The logarithm of a gap that got wider is one."""
    with np.errstate(invalid="ignore"):
        found = seeds_then_items(-np.ones((3, 1, 9)), GROUP, 4, lambda m: np.log(m[..., 0, 0]), Resampling())
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.p is None


def test_group_means_of_an_empty_group_are_unknown() -> None:
    means = group_means(np.array([[1.0, 2.0, 6.0]]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means, [[1.5, np.nan, 6.0]])


def test_models_are_paired_by_item() -> None:
    # Two models that differ by a constant on very different items: their difference has no variance.
    values = np.random.default_rng(0).normal(0, 10, 50)
    replicates = replicate_means(np.stack([values + 1, values]), np.zeros(50, int), 1, 200, np.random.default_rng(0))
    np.testing.assert_allclose(replicates[:, 0] - replicates[:, 1], 1.0, atol=1e-9)


def test_percentile_interval_of_known_replicates() -> None:
    result = percentile_interval(0.5, np.linspace(0, 1, 1001), Resampling(confidence=0.9))
    assert (result.low, result.high) == pytest.approx((0.05, 0.95))
    assert result.p == pytest.approx(2 * 2 / 1002)  # one replicate is 0
    assert not Interval(1, -0.1, 2).excludes_zero
    assert Interval(-1, -2, -0.1).excludes_zero
    assert np.isnan(percentile_interval(np.nan, np.array([np.nan]), Resampling()).low)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_its_definition(values: list[float]) -> None:
    result = holm(np.array(values))
    np.testing.assert_allclose(result, slow.holm(values))
    assert (result >= values).all()
    assert (result <= 1).all()


def test_holm_ignores_nan() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.06, 0.06])


def test_student_interval_is_scipys_where_only_seeds_vary() -> None:
    from scipy import stats

    values = np.array([0.1, 0.3, 0.2, 0.5, 0.15])
    expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    result = student_interval(values.mean(), values.var(ddof=1) / 5, 0.0, 4, 0.95)
    assert (result.low, result.high) == pytest.approx(expected)
    assert result.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    still = student_interval(0.2, 0.0, 0.0, 4, 0.95)
    assert (still.low, still.high, still.p) == (0.2, 0.2, 0.0)


def test_one_seed_gives_the_interval_of_the_items() -> None:
    values = np.random.default_rng(0).random((1, 1, 200))
    result = seeds_then_items(values, np.zeros(200, int), 1, lambda m: m[..., 0, 0], Resampling())
    half = 1.96 * values.std() / np.sqrt(200)
    assert result.value == pytest.approx(values.mean())
    assert result.high - result.value == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize(("seed_spread", "item_spread"), [(1.0, 0.0), (0.1, 1.0), (0.3, 1.0)])
def test_intervals_over_five_seeds_cover_the_truth(seed_spread: float, item_spread: float) -> None:
    """In 400 experiments with a known truth of 0, 95 % intervals hold it in 92 to 99 %."""
    rng = np.random.default_rng(5)
    group, how = np.repeat([0, 1], 60), Resampling(draws=200)
    held = percentile = 0
    for _ in range(400):
        effects = rng.normal(0, seed_spread, (5, 1)) + rng.normal(0, item_spread, 120) + rng.normal(0, 0.3, (5, 120))
        result = seeds_then_items(effects[:, None], group, 2, lambda m: m[..., 0, :].mean(axis=-1), how)
        held += result.low <= 0 <= result.high
        seeds = effects.mean(axis=1)[rng.integers(0, 5, (200, 5))].mean(axis=1)
        low, high = np.quantile(seeds, [0.025, 0.975])
        percentile += low <= 0 <= high
    assert 0.92 <= held / 400 <= 0.99
    # Without the correction, percentile intervals over five seeds cover less than 95 %, even without item noise.
    assert percentile / 400 < 0.92
