"""Compares selection methods with a baseline over seeds: a verdict per method and budget (docs/evaluation.md).

One primary comparison is fixed beforehand and not corrected; all others are corrected for their number (Holm). A method
whose interval includes 0 is reported as not better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.selectors.assessment.intervals import Interval, Resampling, holm
from curate.selectors.assessment.retention import counted
from curate.selectors.assessment.seeds import retention_gain, retention_over_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Word = Literal["better", "worse", "undecided", "uncorrected", "baseline"]


@dataclass(frozen=True)
class Arm:
    """One method at one budget."""

    method: str
    budget: str
    scores: NDArray[np.float64]
    """Shape (S, n): one row of item scores per seed, seeds in the same order for all arms."""


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
        Contains the baseline at every budget. Two arms are compared over the seeds that both have.
    baseline : str
        Method that the others are compared with, ``"uniform"``.
    primary : (method, budget)
        The comparison that was fixed beforehand.
    original, chance : ndarray of shape (n,)
        Scores of the original model, and the expected scores of guessing.
    group : ndarray of shape (n,), int
        Capability of each item, from 0 to `n_groups` − 1.
    """
    use = counted(original, chance, group, n_groups)
    bases = {arm.budget: arm.scores for arm in arms if arm.method == baseline}

    def retention(arm: Arm, worst: bool) -> Interval:
        return retention_over_seeds(arm.scores, original, group, n_groups, use, how, worst=worst)

    def gain(arm: Arm, worst: bool) -> Interval:
        n = min(len(arm.scores), len(bases[arm.budget]))
        base = bases[arm.budget][:n]
        return retention_gain(arm.scores[:n], base, original, group, n_groups, use, how, worst=worst)

    gains = [gain(arm, worst=False) for arm in arms]
    p_values = _adjusted(arms, gains, baseline, primary)
    return [
        ArmVerdict(
            method=arm.method,
            budget=arm.budget,
            seeds=len(arm.scores),
            mean=retention(arm, worst=False),
            worst=retention(arm, worst=True),
            gain=own_gain,
            worst_gain=gain(arm, worst=True),
            p_holm=p,
            primary=(arm.method, arm.budget) == primary,
            word="baseline" if arm.method == baseline else word_for(own_gain, p, 1 - how.confidence),
        )
        for arm, own_gain, p in zip(arms, gains, p_values, strict=True)
    ]


def _adjusted(arms: Sequence[Arm], gains: Sequence[Interval], baseline: str, primary: tuple[str, str]) -> list[float]:
    """Return the p-values of the gains, all but the primary one adjusted for their number."""
    p_values = np.array([1.0 if gain.p is None else gain.p for gain in gains])
    # The primary comparison was fixed before any result was known, so it is a single test. The baseline against itself
    # is no test: counted among the others, it would make their correction stricter.
    others = [i for i, arm in enumerate(arms) if arm.method != baseline and (arm.method, arm.budget) != primary]
    p_values[others] = holm(p_values[others])
    return [float(p) for p in p_values]


def word_for(gain: Interval, p: float, level: float) -> Word:
    """Return the verdict from an interval and a corrected p-value."""
    if not gain.excludes_zero:
        return "undecided"
    if p >= level:
        return "uncorrected"
    return "better" if gain.value > 0 else "worse"


def sentence(verdict: ArmVerdict, baseline: str) -> str:
    """Return the verdict on one arm in one sentence."""
    arm = f"{verdict.method} at {verdict.budget}"
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
