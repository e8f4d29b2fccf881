"""Divergence per group agrees with a loop over draws, and the closed gap with its definition."""

from __future__ import annotations

import numpy as np
import pytest

from curate.selectors.assessment.divergence import assess_divergence
from curate.selectors.assessment.intervals import Resampling

HOW = Resampling(draws=300)
RNG = np.random.default_rng(0)
N = 60
GROUP = np.repeat([0, 1], N // 2)
TOKENS = RNG.integers(1, 40, N)
COMPRESSED = RNG.gamma(2.0, 0.5, N)


def slow(values: np.ndarray, tokens: np.ndarray) -> float:
    return float(sum(v * t for v, t in zip(values, tokens, strict=True)) / sum(tokens))


def test_means_weigh_tokens_and_the_gap_is_paired() -> None:
    model = COMPRESSED * RNG.uniform(0.5, 0.7, N)
    lines = assess_divergence(model, COMPRESSED, TOKENS, GROUP, 2, HOW)
    # The same draws, row by row.
    rng = np.random.default_rng(HOW.seed)
    for g, line in enumerate(lines):
        own = GROUP == g
        means = slow(model[own], TOKENS[own]), slow(COMPRESSED[own], TOKENS[own])
        assert (line.model.value, line.compressed.value) == pytest.approx(means)
        assert line.closed.value == pytest.approx(1 - means[0] / means[1])
        assert (line.items, line.tokens) == (N // 2, TOKENS[own].sum())
        drawn = [rng.integers(0, N // 2, (1, N // 2))[0] for _ in range(HOW.draws)]
        ratios = [1 - slow(model[own][d], TOKENS[own][d]) / slow(COMPRESSED[own][d], TOKENS[own][d]) for d in drawn]
        assert (line.closed.low, line.closed.high) == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.01)
        # Rows differ by far more than the two models do on a row.
        assert line.closed.high - line.closed.low < (line.model.high - line.model.low) / line.model.value
        assert not line.further


def test_a_model_that_went_away_is_flagged() -> None:
    model = np.where(GROUP == 0, 1.5, 1.0) * COMPRESSED
    first, second = assess_divergence(model, COMPRESSED, TOKENS, GROUP, 2, HOW)
    assert (first.further, second.further) == (True, False)
    assert (first.closed.value, second.closed.value) == pytest.approx((-0.5, 0.0))
    assert first.closed.high < 0


def test_without_a_compressed_model_or_a_gap_nothing_is_closed() -> None:
    (alone,) = assess_divergence(COMPRESSED, None, TOKENS, np.zeros(N, np.int64), 1, HOW)
    assert np.isnan([alone.closed.value, alone.compressed.value]).all()
    assert alone.model.low < alone.model.value < alone.model.high
    (same,) = assess_divergence(COMPRESSED, np.zeros(N), TOKENS, np.zeros(N, np.int64), 1, HOW)
    assert np.isnan(same.closed.value)
    assert same.further
