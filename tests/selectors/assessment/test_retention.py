"""Retention agrees with its definition, leaves out capabilities near chance, and flags negative transfer only."""

from __future__ import annotations

import numpy as np
import pytest
from references import intervals as slow

from curate.selectors.assessment.intervals import Resampling
from curate.selectors.assessment.retention import assess_retention, counted

HOW = Resampling(draws=500)


def answers(*shares: float, items: int = 200) -> np.ndarray:
    """Return 0/1 scores: in group g the first shares[g] of the items are right."""
    return np.concatenate([np.arange(items) < round(share * items) for share in shares]).astype(np.float64)


GROUP = np.repeat(np.arange(3), 200)
NO_CHANCE = np.zeros(600)


def test_retention_agrees_with_its_definition() -> None:
    rng = np.random.default_rng(0)
    model, original = rng.random(600), rng.random(600) + 0.5
    result = assess_retention(model, original, None, GROUP, 3, NO_CHANCE, HOW)
    for g in range(3):
        assert result.groups[g].retention.value == pytest.approx(slow.retention(model, original, GROUP, g))
        assert result.groups[g].retention.low < result.groups[g].retention.value < result.groups[g].retention.high
    values = [one.retention.value for one in result.groups]
    assert result.mean.value == pytest.approx(np.mean(values))
    assert result.worst.value == pytest.approx(min(values))
    assert np.isnan(result.mean_compressed)
    assert not any(one.harmed for one in result.groups)


def test_capabilities_near_chance_are_listed_but_not_averaged() -> None:
    chance = np.full(600, 0.25)
    original, model = answers(0.9, 0.29, 0.30), answers(0.45, 0.6, 0.3)
    result = assess_retention(model, original, None, GROUP, 3, chance, HOW)
    # Exactly five points above chance count.
    assert [one.left_out for one in result.groups] == ["", "original close to chance", ""]
    assert result.mean.value == pytest.approx((0.5 + 1.0) / 2)
    assert counted(original, chance, GROUP, 4).tolist() == [True, False, True, False]
    nothing = assess_retention(model, answers(0, 0, 0), None, GROUP, 3, chance, HOW)
    assert np.isnan(nothing.mean.value)


def test_small_capabilities_are_listed_but_not_averaged() -> None:
    """A capability of one item would weigh as much as one of 200; where all are small, all count."""
    group, sizes = np.repeat(np.arange(4), (1, 9, 10, 200)), (1, 9, 10, 200)
    original, chance = np.ones(220), np.full(220, 0.25)
    model = np.repeat([0.0, 0.0, 0.5, 1.0], sizes)
    result = assess_retention(model, original, None, group, 4, chance, HOW)
    assert [one.left_out for one in result.groups] == ["fewer than 10 items"] * 2 + ["", ""]
    assert (result.mean.value, result.worst.value) == pytest.approx((0.75, 0.5))
    small = group < 2
    few = assess_retention(model[small], original[small], None, group[small], 2, chance[small], HOW)
    assert [one.left_out for one in few.groups] == ["", ""]
    assert few.mean.value == 0
    # A large capability near chance does not shut the small ones out.
    guessed = np.where(group == 3, 0.25, 1.0)
    assert counted(guessed, chance, group, 4).tolist() == [False, False, True, False]
    near = np.where(group >= 2, 0.25, 1.0)
    assert counted(near, chance, group, 4).tolist() == [True, True, False, False]


def test_harm_is_flagged_beyond_chance_only() -> None:
    compressed, original = answers(0.5, 0.5, 0.5), answers(0.9, 0.9, 0.9)
    result = assess_retention(answers(0.8, 0.495, 0.3), original, compressed, GROUP, 3, NO_CHANCE, HOW)
    assert [one.harmed for one in result.groups] == [False, False, True]
    assert result.groups[1].gain.value < 0
    assert result.groups[2].damage == pytest.approx(1 - 0.5 / 0.9)
    assert result.groups[2].gain.high < 0
    assert result.groups[2].p_holm >= result.groups[2].gain.p  # type: ignore[operator]


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(0)
    model, original = rng.random(600), rng.random(600)
    assert assess_retention(model, original, model, GROUP, 3, NO_CHANCE, HOW) == assess_retention(
        model, original, model, GROUP, 3, NO_CHANCE, HOW
    )
