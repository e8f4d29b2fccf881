"""Spread of a score over wordings, and damage beside it, against loops over items."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from curate.selectors.assessment.intervals import Resampling
from curate.selectors.assessment.robustness import damage, spread

ORIGINAL = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 1, 1]], float)
COMPRESSED = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], float)


def test_spread_is_the_standard_deviation_of_the_means() -> None:
    assert spread(COMPRESSED) == pytest.approx(statistics.stdev([0.25, 0.0, 0.5]))


def test_damage_is_the_mean_of_all_differences_and_compared_with_the_larger_spread() -> None:
    found = damage(COMPRESSED, ORIGINAL, Resampling())
    differences = [o - c for a, b in zip(COMPRESSED, ORIGINAL, strict=True) for c, o in zip(a, b, strict=True)]
    assert found.interval.value == pytest.approx(statistics.mean(differences))
    assert found.interval.low <= found.interval.value <= found.interval.high
    assert found.spread == pytest.approx(max(spread(ORIGINAL), spread(COMPRESSED)))
    assert found.above


def test_a_model_against_itself_is_not_damaged() -> None:
    found = damage(ORIGINAL, ORIGINAL, Resampling())
    assert (found.interval.value, found.interval.low, found.interval.high) == (0.0, 0.0, 0.0)
    assert not found.above
    assert not damage(ORIGINAL[:1].repeat(3, 0), ORIGINAL[:1].repeat(3, 0), Resampling()).above


def test_the_interval_resamples_items_and_equal_seeds_give_equal_intervals() -> None:
    first, again = (damage(COMPRESSED, ORIGINAL, Resampling(seed=3)) for _ in range(2))
    assert first == again
    lost = (ORIGINAL - COMPRESSED).mean(axis=0)
    assert first.interval.low >= lost.min()
    assert first.interval.high <= lost.max()
