"""The judge of answers without a check: its measures against counting, its gate on planted answers."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from curate.engines.sample.answer import Answer
from curate.engines.sample.calibration import (
    Checked,
    auroc,
    auroc_within,
    calibrate,
    checked_of,
    fit_probe,
    held_out,
    lowest_threshold,
)
from curate.engines.sample.scorer import Scorer, features
from curate.schemas.errors import GateError

SAMPLES = 4


def slow_auroc(scores: np.ndarray, right: np.ndarray) -> float:
    """Count the pairs of a right and a wrong answer in order; ties count half."""
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[right] for b in scores[~right]]
    return float(np.mean(pairs))


def planted(prompts: int, informative: float) -> Checked:
    """Return answers whose log p, and the first number of the state, are larger by this where they are right."""
    rng = np.random.default_rng(0)
    rows = []
    for prompt in range(prompts):
        for _ in range(SAMPLES):
            right = bool(rng.random() < 0.5)
            logp = -1.5 + informative * right + 0.3 * rng.standard_normal()
            state = rng.standard_normal(6).astype(np.float32)
            state[0] += 2 * informative * right
            rows.append((str(prompt), Answer("", 2, min(logp, 0.0) / 2, False, rng.random(), state), right))
    return checked_of(rows)


def test_areas_are_shares_of_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, right = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    prompt = np.repeat(np.arange(12), 5)
    assert auroc(scores, right) == pytest.approx(slow_auroc(scores, right))
    own = [(scores[prompt == one], right[prompt == one]) for one in range(12)]
    mixed = [slow_auroc(*pair) for pair in own if pair[1].any() and not pair[1].all()]
    assert len(mixed) < 12
    assert auroc_within(scores, right, prompt) == pytest.approx(np.mean(mixed))
    assert auroc(scores, np.ones(60, np.bool_)) is None
    assert auroc_within(scores[:5], np.zeros(5, np.bool_), prompt[:5]) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_smallest_with_the_frequency(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, 80) / 12
    right = rng.random(80) < np.where(scores > 0.5, 0.95, 0.4)
    enough = [level for level in sorted(set(scores)) if (scores >= level).sum() >= 10]
    reached = [level for level in enough if right[scores >= level].mean() >= 0.9]
    assert lowest_threshold(scores, right) == (reached[0] if reached else None)


def test_without_a_right_answer_there_is_no_threshold() -> None:
    assert lowest_threshold(np.linspace(0, 1, 20), np.zeros(20, np.bool_)) is None
    assert lowest_threshold(np.linspace(0, 1, 9), np.ones(9, np.bool_)) is None
    assert lowest_threshold(np.array([]), np.array([], np.bool_)) is None


def test_the_regression_is_that_of_scikit_learn_on_other_prompts() -> None:
    checked = planted(24, 0.5)
    values = features(checked.answers)
    assert values[0, :3] == pytest.approx(
        (2 * checked.answers[0].mean_logp, checked.answers[0].mean_logp, checked.answers[0].mean_entropy)
    )
    scores = held_out(values, checked.right, checked.prompt, checked.ended)
    for one in (0, 5, 23):
        others = checked.prompt % 4 != one % 4
        slow = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000))
        slow.fit(values[others], checked.right[others])
        expected = slow.predict_proba(values[checked.prompt == one])[:, 1]
        assert scores[checked.prompt == one] == pytest.approx(expected, abs=1e-6)


def test_answers_that_are_all_alike_give_a_constant() -> None:
    values = np.random.default_rng(0).standard_normal((5, 4))
    assert fit_probe(values, np.ones(5, np.bool_)).probabilities(values).tolist() == [1.0] * 5
    assert fit_probe(values, np.zeros(5, np.bool_)).probabilities(values).tolist() == [0.0] * 5


@pytest.mark.parametrize("by", ["likelihood", "selfeval"])
def test_a_score_that_tells_right_from_wrong_passes(by: Literal["likelihood", "selfeval"]) -> None:
    checked = planted(120, 1.2)
    scorer, report = calibrate(checked, by, None)
    assert report["prompts"] == 120
    assert report["auroc"][by] > 0.9
    assert report["auroc_within"][by] > 0.9
    assert report["frequency"] > 0.8
    assert 0 < report["accepted_share"] < 1
    assert report["greedy"] == pytest.approx(0.5, abs=0.15)
    assert report["greedy"] < report["by_score"] <= report["by_reference"]
    assert 1 < report["by_score_samples"] < SAMPLES
    scores = np.array([scorer.score(one) for one in checked.answers])
    assert slow_auroc(scores, checked.right) > 0.9
    assert (scorer.probe is None) == (by == "likelihood")


def test_a_given_threshold_is_used() -> None:
    scorer, report = calibrate(planted(120, 1.2), "likelihood", 0.5)
    assert (scorer.threshold, report["threshold"]) == (0.5, 0.5)
    assert scorer.score(Answer("", 4, math.log(0.5) / 4, False)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("prompts", "informative", "said"),
    [
        (120, 0.0, r"needs an AUROC of at least 0\.70 with answers .* AUROC of 0\.\d\d .* on 120 prompts"),
        (72, 1.2, r"needs at least 100 checked prompts with answers .* AUROC of 1\.00 .* on 72 prompts"),
        (72, 0.0, r"needs an AUROC of at least 0\.70 and at least 100 checked prompts .* on 72 prompts"),
        (0, 0.0, r"AUROC of none.* on 0 prompts"),
    ],
)
def test_the_gate_names_what_is_missing(prompts: int, informative: float, said: str) -> None:
    with pytest.raises(GateError, match=said):
        calibrate(planted(prompts, informative), "selfeval", None)


def test_a_score_without_a_trustworthy_level_is_refused() -> None:
    rng = np.random.default_rng(0)
    rows = [(str(i // 4), Answer("", 1, math.log(p), False), bool(rng.random() < 0.7 * p))
            for i, p in enumerate(rng.random(800))]  # fmt: skip
    with pytest.raises(GateError, match="no threshold makes the answers that likelihood accepts right in 90%"):
        calibrate(checked_of(rows), "likelihood", None)


def test_answers_that_were_cut_off_are_neither_fitted_nor_accepted() -> None:
    whole = planted(120, 1.2)
    cut = Answer("", 2, 0.0, True, 0.0, np.full(6, 50, np.float32))
    rows = [
        (str(prompt), one, bool(right))
        for prompt, one, right in zip(whole.prompt, whole.answers, whole.right, strict=True)
    ]
    mixed = checked_of([item for row in rows for item in ((row, (row[0], cut, False)) if row[0] == "7" else (row,))])
    (scorer, report), (clean, before) = (calibrate(one, "selfeval", None) for one in (mixed, whole))
    assert report["auroc"] == before["auroc"]
    assert scorer.probe is not None
    assert clean.probe is not None
    assert scorer.probe.weights == pytest.approx(clean.probe.weights)
    assert isinstance(scorer, Scorer)
