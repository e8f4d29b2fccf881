"""Summaries agree with counting, and a disagreement is reported only if perplexity and knowledge differ."""

from __future__ import annotations

import numpy as np
import pytest

from curate.selectors.assessment.intervals import Interval, Resampling
from curate.selectors.assessment.task_summary import Results, disagreement, nll_change, score_change, summarise

HOW = Resampling(draws=400)
RNG = np.random.default_rng(0)
N = 90
TOKENS = RNG.integers(1, 20, N)
GROUP = np.repeat([0, 1, 2], N // 3)


def results(*, shift: float = 0.0, seed: int = 1) -> Results:
    rng = np.random.default_rng(seed)
    score = (rng.random(N) < 0.5).astype(float)
    score[GROUP == 1] = np.nan
    nll = 2 + rng.random(N) + shift
    nll[:5] = np.nan
    return Results(score, nll, rng.random(N), TOKENS, np.full(N, 0.25), np.full(N, np.nan))


def test_a_summary_agrees_with_counting() -> None:
    one = results()
    rows = summarise(one, GROUP, [{"group": name} for name in "abc"], HOW)
    assert [row["group"] for row in rows] == ["a", "b", "c"]
    assert [row["n_items"] for row in rows] == [30, 30, 30]
    assert rows[0]["score"] == pytest.approx(one.score[:30].mean())
    assert rows[0]["score_low"] < rows[0]["score"] < rows[0]["score_high"]
    assert rows[1]["score"] is None
    known = slice(5, 30)
    total = sum(n * t for n, t in zip(one.nll[known], TOKENS[known], strict=True))
    assert rows[0]["nll"] == pytest.approx(total / TOKENS[known].sum())
    blank = np.full(2, np.nan)
    nothing = Results(blank, blank, blank, np.zeros(2, np.int64), np.zeros(2), blank)
    (empty,) = summarise(nothing, np.zeros(2, np.int64), [{"group": "x"}], HOW)
    assert (empty["n_items"], empty["score"], empty["nll"]) == (0, None, None)


def test_changes_are_paired() -> None:
    first, second = results(), results(shift=-0.5)
    everything = np.ones(N, dtype=bool)
    change = nll_change(second, first, everything, HOW)
    assert (change.value, change.low, change.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert score_change(second, first, everything, HOW).value == 0
    assert np.isnan(score_change(second, first, GROUP == 1, HOW).value)
    assert np.isnan(nll_change(second, first, np.zeros(N, dtype=bool), HOW).value)


def interval(value: float, half: float = 0.01) -> Interval:
    return Interval(value, value - half, value + half)


@pytest.mark.parametrize(
    ("nll", "knowledge", "said"),
    [
        (interval(-0.2), interval(-0.1), "perplexity fell"),
        (interval(0.02), interval(-0.1), "perplexity hardly changed"),
        (interval(0.2), interval(0.1), "perplexity hides that gain"),
        (interval(-0.2), interval(0.1), None),
        (interval(0.2), interval(-0.1), None),
        (interval(-0.2), interval(-0.1, half=0.2), None),
        (interval(float("nan")), interval(-0.1), None),
    ],
)
def test_only_a_contradiction_is_reported(nll: Interval, knowledge: Interval, said: str | None) -> None:
    result = disagreement(nll, knowledge)
    assert (result is None) == (said is None)
    assert said is None or said in str(result)
