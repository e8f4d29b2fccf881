"""Verdicts on better, worse and equal methods, and the correction for many comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from curate.selectors.assessment.intervals import Interval, Resampling
from curate.selectors.assessment.verdict import Arm, compare_arms, sentence, word_for

ITEMS, GROUPS = 900, 3
GROUP = np.repeat(np.arange(GROUPS), ITEMS // GROUPS)
ORIGINAL = np.ones(ITEMS)
HOW = Resampling(draws=300)


def arm(method: str, share: float, seed: int, *, budget: str = "0.1", seeds: int = 5) -> Arm:
    rng = np.random.default_rng(seed)
    shares = share + rng.normal(0, 0.005, (seeds, 1))
    return Arm(method, budget, (rng.random((seeds, ITEMS)) < shares).astype(np.float64))


def verdicts(*arms: Arm, primary: tuple[str, str] = ("good", "0.1")):
    return compare_arms(arms, "uniform", primary, ORIGINAL, GROUP, GROUPS, np.zeros(ITEMS), HOW)


def test_better_worse_and_undecided() -> None:
    results = verdicts(arm("good", 0.7, 1), arm("bad", 0.5, 2), arm("same", 0.6, 3), arm("uniform", 0.6, 4))
    assert [one.word for one in results] == ["better", "worse", "undecided", "baseline"]
    assert results[0].gain.value == pytest.approx(0.1, abs=0.03)
    assert results[0].mean.value == pytest.approx(0.7, abs=0.03)
    assert results[0].worst.value <= results[0].mean.value
    assert results[0].primary
    assert results[0].p_holm == results[0].gain.p  # the primary comparison is not corrected
    assert results[1].p_holm == pytest.approx(min(1.0, 2 * results[1].gain.p))
    sentences = [sentence(one, "uniform") for one in results]
    assert "beats uniform" in sentences[0]
    assert "the primary comparison" in sentences[0]
    assert "is worse than uniform" in sentences[1]
    assert "does not beat uniform" in sentences[2]
    assert "is the baseline" in sentences[3]


def test_each_budget_has_its_own_baseline() -> None:
    results = verdicts(
        arm("good", 0.6, 1),
        arm("uniform", 0.5, 2),
        arm("good", 0.6, 3, budget="0.2"),
        arm("uniform", 0.7, 4, budget="0.2"),
    )
    assert [one.word for one in results] == ["better", "baseline", "worse", "baseline"]


def test_an_arm_with_fewer_seeds_is_compared_over_those_it_has() -> None:
    (one, base) = verdicts(arm("good", 0.7, 1, seeds=1), arm("uniform", 0.6, 2))
    assert (one.seeds, base.seeds) == (1, 5)
    assert "one seed" in sentence(one, "uniform")


def test_a_difference_that_correction_removes_is_not_reported_as_better() -> None:
    gain = Interval(0.02, 0.001, 0.039, 0.04)
    assert word_for(gain, 0.04, 0.05) == "better"
    assert word_for(gain, 0.4, 0.05) == "uncorrected"
    # Twenty methods that are all the same: one primary, nineteen corrected.
    arms = [arm(f"m{i}", 0.6, 100 + i) for i in range(20)]
    results = verdicts(*arms, arm("uniform", 0.6, 99), primary=("m0", "0.1"))
    assert not [one for one in results[1:] if one.word in ("better", "worse")]
    assert "not shown to differ" in sentence(
        type(results[1])(**{**vars_of(results[1]), "word": "uncorrected"}), "uniform"
    )


def vars_of(one) -> dict:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def test_capabilities_near_chance_are_left_out() -> None:
    original = ORIGINAL.copy()
    original[GROUP == 2] = 0
    scores = arm("good", 0.5, 1)
    scores.scores[:, GROUP == 2] = 1
    (one, _) = compare_arms(
        [scores, arm("uniform", 0.5, 2)], "uniform", ("good", "0.1"), original, GROUP, GROUPS, np.zeros(ITEMS), HOW
    )
    assert one.mean.value == pytest.approx(0.5, abs=0.05)
