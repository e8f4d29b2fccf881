"""Verdicts on better, worse and equal methods, and the correction for many comparisons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.selectors.assessment.intervals import Interval, Resampling
from curate.selectors.assessment.verdict import Arm, compare_arms, recipe_sentence, sentence, word_for

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


def test_recipes_are_compared_on_the_same_rows_and_methods_within_a_recipe() -> None:
    plain = [arm("good", 0.6, 1), arm("uniform", 0.5, 2)]
    taught = [replace(arm("good", 0.7, 3), recipe="kl"), replace(arm("uniform", 0.7, 4), recipe="kl")]
    good, base, good_kl, base_kl = verdicts(*(replace(one, recipe="ce") for one in plain), *taught)
    assert [one.word for one in (good, base, good_kl, base_kl)] == ["better", "baseline", "undecided", "baseline"]
    assert [one.primary for one in (good, base, good_kl, base_kl)] == [True, False, False, False]
    # Within its recipe a comparison is the one that these two arms alone give.
    alone = verdicts(*taught, primary=("none", "0.1"))
    assert (good_kl.mean, good_kl.gain, good_kl.worst_gain) == (alone[0].mean, alone[0].gain, alone[0].worst_gain)
    assert good.recipe_effect is base.recipe_effect is None
    # The effect of the recipe is the comparison of its arm with that of the first one.
    (paired, _) = verdicts(taught[1], plain[1], primary=("uniform", "0.1"))
    assert base_kl.recipe_effect is not None
    assert base_kl.recipe_effect.gain.value == pytest.approx(paired.mean.value - base.mean.value)
    assert base_kl.recipe_effect.word == "better"
    assert "kl beats ce on the rows of uniform at 0.1" in recipe_sentence(base_kl, "ce")
    assert recipe_sentence(base, "ce") == ""


def test_methods_and_recipes_are_corrected_as_one_family() -> None:
    """Holm by hand over all comparisons but the primary one."""
    arms = [arm("good", 0.56, 1), arm("bad", 0.54, 5), arm("uniform", 0.5, 2)]
    arms += [replace(arm(one.method, 0.55, 7 + i), recipe="kl") for i, one in enumerate(arms)]
    results = verdicts(*arms)
    tests = {("method", i): one.gain.p for i, one in enumerate(results) if one.method != "uniform" and not one.primary}
    effects = {i: one.recipe_effect for i, one in enumerate(results) if one.recipe_effect is not None}
    tests |= {("recipe", i): effect.gain.p for i, effect in effects.items()}
    assert len(tests) == 3 + 3
    expected, largest = {}, 0.0
    for rank, name in enumerate(sorted(tests, key=lambda name: tests[name])):
        largest = max(largest, min(1.0, (len(tests) - rank) * tests[name]))
        expected[name] = largest
    found = {("method", i): results[i].p_holm for kind, i in tests if kind == "method"}
    found |= {("recipe", i): effect.p_holm for i, effect in effects.items()}
    assert found == pytest.approx(expected)
    assert results[0].p_holm == results[0].gain.p
