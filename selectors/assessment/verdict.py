"""Compares selection methods with a baseline over seeds: a verdict per method, budget and recipe (docs/evaluation.md).

Methods are compared within a recipe, and recipes on the rows of one method. One primary comparison is fixed beforehand
and not corrected; all others, of methods and of recipes, are one family (Holm). A method whose interval includes 0 is
reported as not better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.selectors.assessment.intervals import Interval, Resampling, holm
from curate.selectors.assessment.retention import counted
from curate.selectors.assessment.seeds import retention_gain, retention_over_seeds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Word = Literal["better", "worse", "undecided", "uncorrected", "baseline"]


@dataclass(frozen=True)
class Arm:
    """One method at one budget with one recipe of training."""

    method: str
    budget: str
    scores: NDArray[np.float64]
    """Shape (S, n): one row of item scores per seed, seeds in the same order for all arms."""
    recipe: str = ""
    """Empty where all arms are trained alike."""

    @property
    def place(self) -> tuple[str, str]:
        """What an arm shares with its baseline: budget and recipe."""
        return self.budget, self.recipe


@dataclass(frozen=True)
class ArmVerdict:
    """Retention of one arm and its comparison with the baseline."""

    method: str
    budget: str
    seeds: int
    mean: Interval
    """Mean retention over the capabilities that count."""
    worst: Interval
    """Smallest retention of a capability."""
    gain: Interval
    """Mean retention minus the baseline's at the same budget, paired by seed and item; 0 for the baseline itself."""
    worst_gain: Interval
    p_holm: float
    """p-value of the gain; adjusted for the number of comparisons unless this is the primary one."""
    primary: bool
    word: Word
    """``better`` or ``worse`` if the interval excludes 0 and the (adjusted) p-value is below 1 − confidence,
    ``uncorrected`` if only the interval does, ``undecided`` otherwise."""
    recipe: str = ""
    recipe_effect: RecipeEffect | None = None
    """None for the first recipe, which the others are compared with."""


@dataclass(frozen=True)
class RecipeEffect:
    """A recipe of training compared with the first one, on the same rows."""

    gain: Interval
    """Mean retention minus that of the first recipe with the same method and budget, paired by seed and item."""
    p_holm: float
    word: Word


def compare_arms(
    arms: Sequence[Arm],
    baseline: str,
    primary: tuple[str, str],
    original: NDArray[np.float64],
    group: NDArray[np.int64],
    n_groups: int,
    chance: NDArray[np.float64],
    how: Resampling,
) -> list[ArmVerdict]:
    """Return the verdict of every arm, in their order.

    Parameters
    ----------
    arms : sequence of Arm
        Contains the baseline at every budget and recipe. Two arms are compared over the seeds that both have.
    baseline : str
        Method that the others are compared with, ``"uniform"``.
    primary : (method, budget)
        The comparison that was fixed beforehand, with the recipe of the first arm.
    original, chance : ndarray of shape (n,)
        Scores of the original model, and the expected scores of guessing.
    group : ndarray of shape (n,), int
        Capability of each item, from 0 to `n_groups` − 1.
    """
    measure = _Measure(original, group, n_groups, counted(original, chance, group, n_groups), how)
    bases = {arm.place: arm.scores for arm in arms if arm.method == baseline}
    recipe, level = arms[0].recipe, 1 - how.confidence
    firsts = {(arm.method, arm.budget): arm.scores for arm in arms if arm.recipe == recipe}
    gains = [measure.gain(arm.scores, bases[arm.place]) for arm in arms]
    changed = [i for i, arm in enumerate(arms) if arm.recipe != recipe and (arm.method, arm.budget) in firsts]
    effects = {i: measure.gain(arms[i].scores, firsts[arms[i].method, arms[i].budget]) for i in changed}
    is_primary = [(arm.method, arm.budget) == primary and arm.recipe == recipe for arm in arms]
    # The primary comparison was fixed before any result was known, so it is a single test. The baseline against itself
    # is no test: counted among the others, it would make their correction stricter.
    family = [i for i, arm in enumerate(arms) if arm.method != baseline and not is_primary[i]]
    p_values, p_effects = _adjusted(gains, family, effects)
    compared = {i: RecipeEffect(effects[i], p, word_for(effects[i], p, level)) for i, p in p_effects.items()}
    return [
        ArmVerdict(
            method=arm.method,
            budget=arm.budget,
            seeds=len(arm.scores),
            mean=measure.retention(arm.scores),
            worst=measure.retention(arm.scores, worst=True),
            gain=gains[i],
            worst_gain=measure.gain(arm.scores, bases[arm.place], worst=True),
            p_holm=p_values[i],
            primary=is_primary[i],
            word="baseline" if arm.method == baseline else word_for(gains[i], p_values[i], level),
            recipe=arm.recipe,
            recipe_effect=compared.get(i),
        )
        for i, arm in enumerate(arms)
    ]


@dataclass(frozen=True, eq=False)
class _Measure:
    """Retention on the items of one original model."""

    original: NDArray[np.float64]
    group: NDArray[np.int64]
    n_groups: int
    use: NDArray[np.bool_]
    how: Resampling

    def retention(self, scores: NDArray[np.float64], worst: bool = False) -> Interval:
        return retention_over_seeds(scores, self.original, self.group, self.n_groups, self.use, self.how, worst=worst)

    def gain(self, scores: NDArray[np.float64], base: NDArray[np.float64], worst: bool = False) -> Interval:
        """Return the gain over `base`, over the seeds that both have."""
        n = min(len(scores), len(base))
        shared = (self.original, self.group, self.n_groups, self.use, self.how)
        return retention_gain(scores[:n], base[:n], *shared, worst=worst)


def _adjusted(
    gains: Sequence[Interval], family: Sequence[int], effects: Mapping[int, Interval]
) -> tuple[list[float], dict[int, float]]:
    """Return the p-values of gains and effects; those of `family` and all effects are adjusted for their number."""
    p_values = [1.0 if gain.p is None else gain.p for gain in gains]
    tests = [p_values[i] for i in family] + [1.0 if one.p is None else one.p for one in effects.values()]
    adjusted = holm(np.array(tests)).tolist()
    for i, p in zip(family, adjusted, strict=False):
        p_values[i] = p
    return p_values, dict(zip(effects, adjusted[len(family) :], strict=True))


def word_for(gain: Interval, p: float, level: float) -> Word:
    """Return the verdict from an interval and a corrected p-value."""
    if not gain.excludes_zero:
        return "undecided"
    if p >= level:
        return "uncorrected"
    return "better" if gain.value > 0 else "worse"


def sentence(verdict: ArmVerdict, baseline: str) -> str:
    """Return the verdict on one arm in one sentence."""
    recipe = f" with {verdict.recipe}" if verdict.recipe else ""
    arm = f"{verdict.method} at {verdict.budget}{recipe}"
    mean, gain = verdict.mean, verdict.gain
    if verdict.word == "baseline":
        return f"{arm} is the baseline: mean retention {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]."
    figure = f"mean retention {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] against {baseline}"
    p = f"p = {verdict.p_holm:.2g}"
    seeds = "" if verdict.seeds > 1 else " (one seed: the interval does not cover seeds)"
    primary = ", the primary comparison" if verdict.primary else ""
    if verdict.word == "undecided":
        return f"{arm} does not beat {baseline}: {figure}, which includes 0{primary}{seeds}."
    if verdict.word == "uncorrected":
        return f"{arm} is not shown to differ from {baseline}: {figure}, but {p} after correction{seeds}."
    verb = "beats" if verdict.word == "better" else "is worse than"
    return f"{arm} {verb} {baseline}: {figure}, {p}{primary}{seeds}."


def recipe_sentence(verdict: ArmVerdict, first: str) -> str:
    """Return what the recipe of an arm changes on its own, in one sentence; empty for the first recipe."""
    effect = verdict.recipe_effect
    if effect is None:
        return ""
    gain = effect.gain
    figure = f"mean retention {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], p = {effect.p_holm:.2g}"
    words = {"better": "beats", "worse": "is worse than"}
    verb = words.get(effect.word, "is not shown to differ from")
    return f"{verdict.recipe} {verb} {first} on the rows of {verdict.method} at {verdict.budget}: {figure}."
