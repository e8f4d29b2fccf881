"""Measures a scorer on checked answers, sets its threshold, and refuses it where it does not tell right from wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from curate.engines.sample.scorer import Probe, Scorer, features, likelihood
from curate.schemas.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.sample.answer import Answer
    from curate.engines.sample.scorer import ScoredBy

LEAST_AUROC = 0.70
LEAST_PROMPTS = 100
FREQUENCY = 0.9
"""How often accepted answers must be right on the half of the prompts that the threshold is set on."""
LEAST_ACCEPTED = 10
"""Answers that must be accepted for their frequency to mean anything."""
FOLDS = 4
INVERSE_PENALTY = 1e-3
"""scikit-learn's C: strong, since there are more features than checked answers."""


@dataclass(frozen=True, eq=False)
class Checked:
    """Answers to prompts with a check, all of a prompt side by side, the likeliest first."""

    answers: tuple[Answer, ...]
    prompt: NDArray[np.int64]
    """Number of each answer's prompt, shape (n,), from 0, ascending."""
    right: NDArray[np.bool_]
    """Whether each answer passed the check, shape (n,); one that was pruned did not."""

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Answers that were not cut off: only these are ever accepted, so only these are scored."""
        return np.array([not one.stopped_early for one in self.answers], dtype=np.bool_)


def calibrate(checked: Checked, by: ScoredBy, threshold: float | None) -> tuple[Scorer, dict[str, Any]]:
    """Return the scorer and what was measured of it on the checked answers.

    Parameters
    ----------
    threshold : float or None
        Smallest score that is accepted; None for the smallest with a frequency of right answers of `FREQUENCY` on
        every second prompt.

    Raises
    ------
    GateError
        If its AUROC on answers that it was not fitted on is below `LEAST_AUROC`, there are fewer prompts than
        `LEAST_PROMPTS`, or no threshold has the frequency.
    """
    scores = {"likelihood": np.array([likelihood(one) for one in checked.answers])}
    if by == "selfeval":
        scores[by] = held_out(features(checked.answers), checked.right, checked.prompt, checked.ended)
    report = _discrimination(checked, scores)
    _check_gate(report, by)
    first, second = (np.flatnonzero(checked.prompt % 2 == half) for half in (0, 1))
    usable = first[checked.ended[first]]
    level = lowest_threshold(scores[by][usable], checked.right[usable]) if threshold is None else threshold
    if level is None:
        raise GateError(
            f"no threshold makes the answers that {by} accepts right in {FREQUENCY:.0%} of cases on "
            f"{len(set(checked.prompt[first].tolist())):,} checked prompts; pass --threshold, or use "
            "--accept reference or agreement"
        )
    probe = (
        None
        if by == "likelihood"
        else fit_probe(features(checked.answers)[checked.ended], checked.right[checked.ended])
    )
    return Scorer(level, probe), {**report, **stopping(checked, scores[by], second, level), "threshold": level}


def held_out(
    values: NDArray[np.float64], right: NDArray[np.bool_], prompt: NDArray[np.int64], used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the probability of each answer by a regression fitted on other prompts: every fourth is one fold."""
    scores = np.zeros(len(right))
    for fold in range(FOLDS):
        inside = prompt % FOLDS == fold
        scores[inside] = fit_probe(values[~inside & used], right[~inside & used]).probabilities(values[inside])
    return scores


def fit_probe(values: NDArray[np.float64], right: NDArray[np.bool_]) -> Probe:
    """Return the regression of `right` on standardised features; a constant where all answers are alike.

    Parameters
    ----------
    values : float64 array of shape (n, k)
    right : bool array of shape (n,)
    """
    if right.all() or not right.any():
        return Probe(np.zeros(values.shape[1]), math.inf if right.all() else -math.inf)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    fitted = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit((values - mean) / scale, right)
    weights = fitted.coef_[0] / scale
    return Probe(weights, float(fitted.intercept_[0] - weights @ mean))


def auroc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """Return the probability that a right answer has a larger score than a wrong one; None without both."""
    return None if right.all() or not right.any() else float(roc_auc_score(right, scores))


def auroc_within(scores: NDArray[np.float64], right: NDArray[np.bool_], prompt: NDArray[np.int64]) -> float | None:
    """Return the mean over prompts with right and wrong answers of their own AUROC; None without such a prompt.

    The AUROC over all prompts mostly says which prompts are easy; a choice among one prompt's samples needs this one.
    """
    each = [auroc(scores[prompt == one], right[prompt == one]) for one in np.unique(prompt)]
    mixed = [one for one in each if one is not None]
    return float(np.mean(mixed)) if mixed else None


def lowest_threshold(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """Return the smallest score at or above which answers are right with frequency `FREQUENCY`; None without one.

    A score that fewer than `LEAST_ACCEPTED` answers reach is not considered.
    """
    order = np.argsort(-scores, kind="stable")
    frequency = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # Of equal scores all are accepted, so the frequency counts at the last of them.
    last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    last[: LEAST_ACCEPTED - 1] = False
    reached = np.flatnonzero(last & (frequency >= FREQUENCY))
    return float(scores[order][reached[-1]]) if len(reached) else None


def _discrimination(checked: Checked, scores: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    used, right, prompt = checked.ended, checked.right[checked.ended], checked.prompt[checked.ended]
    return {
        "prompts": len(np.unique(checked.prompt)),
        "samples": len(checked.answers),
        "auroc": {name: auroc(values[used], right) for name, values in scores.items()},
        "auroc_within": {name: auroc_within(values[used], right, prompt) for name, values in scores.items()},
    }


def _check_gate(report: dict[str, Any], by: ScoredBy) -> None:
    area, within, prompts = report["auroc"][by], report["auroc_within"][by], report["prompts"]
    short = []
    if area is None or area < LEAST_AUROC:
        short.append(f"an AUROC of at least {LEAST_AUROC:.2f}")
    if prompts < LEAST_PROMPTS:
        short.append(f"at least {LEAST_PROMPTS} checked prompts")
    if short:
        raise GateError(
            f"--accept {by} needs {' and '.join(short)} with answers to compare, and it has a held-out AUROC of "
            f"{_figure(area)} (within a prompt {_figure(within)}) on {prompts:,} prompts; use --accept reference or "
            "agreement, or select more rows with short answers"
        )


def _figure(value: float | None) -> str:
    return "none, since all answers are right or all are wrong," if value is None else f"{value:.2f}"


def stopping(
    checked: Checked, scores: NDArray[np.float64], rows: NDArray[np.int64], threshold: float
) -> dict[str, Any]:
    """Return what the threshold does on prompts that it was not set on, beside the likeliest answer alone."""
    usable = rows[checked.ended[rows]]
    accepted = usable[scores[usable] >= threshold]
    greedy, chosen, samples, solvable = [], [], [], []
    for one in np.unique(checked.prompt[rows]):
        own = rows[checked.prompt[rows] == one]
        values = np.where(checked.ended[own], scores[own], 0.0)
        reached = np.flatnonzero(values >= threshold)
        place = int(reached[0]) if len(reached) else int(values.argmax())
        greedy.append(checked.right[own[0]])
        chosen.append(checked.right[own[place]])
        samples.append(place + 1 if len(reached) else len(own))
        solvable.append(checked.right[own].any())
    return {
        "frequency": float(checked.right[accepted].mean()) if len(accepted) else None,
        "accepted_share": len(accepted) / max(len(usable), 1),
        "greedy": float(np.mean(greedy)),
        "by_score": float(np.mean(chosen)),
        "by_score_samples": float(np.mean(samples)),
        "by_reference": float(np.mean(solvable)),
    }


def checked_of(answers: Sequence[tuple[str, Answer, bool]]) -> Checked:
    """Return checked answers, given the id of each one's prompt, in the order of the prompts."""
    number: dict[str, int] = {}
    prompt = [number.setdefault(name, len(number)) for name, _, _ in answers]
    right = [passed for _, _, passed in answers]
    return Checked(tuple(one for _, one, _ in answers), np.array(prompt, np.int64), np.array(right, np.bool_))
