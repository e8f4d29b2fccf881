"""Did a method beat a random draw? The comparison of METHODS §6, from the scores of every cell to a word per method.

One comparison is named beforehand and stands alone; all others are corrected for their number. A method that does not
beat the baseline beyond the interval is said not to. Knows nothing of models, files and how rows were chosen.
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
    """Shape (S, n): one row of item scores per seed, seeds in the same order for every arm."""


@dataclass(frozen=True)
class ArmVerdict:
    """What the seeds of one arm say."""

    method: str
    budget: str
    seeds: int
    mean: Interval
    """Mean retention over the capabilities that count."""
    worst: Interval
    """Retention of the capability that has least."""
    gain: Interval
    """Mean retention minus the baseline's at the same budget, paired by seed and item; 0 for the baseline itself."""
    worst_gain: Interval
    p_holm: float
    """p-value of the gain; adjusted for the number of comparisons unless this is the primary one."""
    primary: bool
    word: Word
    """``better`` or ``worse`` where the interval excludes 0 and the (adjusted) p-value agrees; ``uncorrected`` where
    the interval alone does; ``undecided`` otherwise."""


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
        For every budget, one of them is the baseline's. A pair of arms is compared over the seeds that both have.
    baseline : str
        Method that the others are compared with: ``"uniform"``.
    primary : (method, budget)
        The comparison that was named beforehand.
    original, chance : ndarray of shape (n,)
        Scores of the original model, and what guessing would get.
    group : ndarray of shape (n,), int
        Capability of each item, from 0 to `n_groups` − 1.
    """
    use = counted(original, chance, group, n_groups)
    bases = {arm.budget: arm.scores for arm in arms if arm.method == baseline}
    found = []
    for arm in arms:
        base = bases[arm.budget]
        seeds = min(len(arm.scores), len(base))
        mean, worst = (
            retention_over_seeds(arm.scores, original, group, n_groups, use, how, worst=w) for w in (False, True)
        )
        gains = [
            retention_gain(arm.scores[:seeds], base[:seeds], original, group, n_groups, use, how, worst=w)
            for w in (False, True)
        ]
        found.append((arm, mean, worst, gains))
    others = [i for i, (arm, *_) in enumerate(found) if arm.method != baseline and (arm.method, arm.budget) != primary]
    p_values = np.array([1.0 if gains[0].p is None else gains[0].p for _, _, _, gains in found])
    adjusted = p_values.copy()
    adjusted[others] = holm(p_values[others])
    return [
        ArmVerdict(
            method=arm.method,
            budget=arm.budget,
            seeds=len(arm.scores),
            mean=mean,
            worst=worst,
            gain=gains[0],
            worst_gain=gains[1],
            p_holm=float(p),
            primary=(arm.method, arm.budget) == primary,
            word="baseline" if arm.method == baseline else word_for(gains[0], float(p), 1 - how.confidence),
        )
        for (arm, mean, worst, gains), p in zip(found, adjusted, strict=True)
    ]


def word_for(gain: Interval, p: float, level: float) -> Word:
    """Return what an interval and a corrected p-value say together."""
    if not gain.excludes_zero:
        return "undecided"
    if p >= level:
        return "uncorrected"
    return "better" if gain.value > 0 else "worse"


def sentence(one: ArmVerdict, baseline: str) -> str:
    """Return the verdict on one arm in one sentence."""
    figure = f"{one.gain.value:+.3f} [{one.gain.low:+.3f}, {one.gain.high:+.3f}]"
    named = f"{one.method} at {one.budget}"
    if one.word == "baseline":
        return (
            f"{named} is the baseline: mean retention {one.mean.value:.3f} [{one.mean.low:.3f}, {one.mean.high:.3f}]."
        )
    beside = f"mean retention {figure} against {baseline}"
    seeds = "" if one.seeds > 1 else " (one seed: the interval knows nothing of seeds)"
    primary = ", the comparison named beforehand" if one.primary else ""
    if one.word == "undecided":
        return f"{named} does not beat {baseline}: {beside}, inside the interval{primary}{seeds}."
    if one.word == "uncorrected":
        return (
            f"{named} is not shown to differ from {baseline}: {beside}, but p = {one.p_holm:.2g} once corrected{seeds}."
        )
    verb = "beats" if one.word == "better" else "is worse than"
    return f"{named} {verb} {baseline}: {beside}, p = {one.p_holm:.2g}{primary}{seeds}."
