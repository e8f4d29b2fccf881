"""Retention agrees with its definition, leaves out what the original does not know, and flags harm and nothing else."""

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
    found = assess_retention(model, original, None, GROUP, 3, NO_CHANCE, HOW)
    for g in range(3):
        assert found.groups[g].retention.value == pytest.approx(slow.retention(model, original, GROUP, g))
        assert found.groups[g].retention.low < found.groups[g].retention.value < found.groups[g].retention.high
    values = [one.retention.value for one in found.groups]
    assert found.mean.value == pytest.approx(np.mean(values))
    assert found.worst.value == pytest.approx(min(values))
    assert np.isnan(found.mean_compressed)
    assert not any(one.harmed for one in found.groups)


def test_what_the_original_does_not_know_is_listed_and_left_out() -> None:
    chance = np.full(600, 0.25)
    original, model = answers(0.9, 0.29, 0.30), answers(0.45, 0.6, 0.3)
    found = assess_retention(model, original, None, GROUP, 3, chance, HOW)
    assert [one.counted for one in found.groups] == [True, False, True]  # five points above chance just suffice
    assert found.mean.value == pytest.approx((0.5 + 1.0) / 2)
    assert counted(original, chance, GROUP, 4).tolist() == [True, False, True, False]
    nothing = assess_retention(model, answers(0, 0, 0), None, GROUP, 3, chance, HOW)
    assert np.isnan(nothing.mean.value)


def test_harm_is_flagged_beyond_chance_only() -> None:
    compressed, original = answers(0.5, 0.5, 0.5), answers(0.9, 0.9, 0.9)
    found = assess_retention(answers(0.8, 0.495, 0.3), original, compressed, GROUP, 3, NO_CHANCE, HOW)
    assert [one.harmed for one in found.groups] == [False, False, True]
    assert found.groups[1].gain.value < 0
    assert found.groups[2].damage == pytest.approx(1 - 0.5 / 0.9)
    assert found.groups[2].gain.high < 0
    assert found.groups[2].p_holm >= found.groups[2].gain.p  # type: ignore[operator]


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(0)
    model, original = rng.random(600), rng.random(600)
    assert assess_retention(model, original, model, GROUP, 3, NO_CHANCE, HOW) == assess_retention(
        model, original, model, GROUP, 3, NO_CHANCE, HOW
    )
