"""Over seeds, better methods are detected, equal ones are not, and negative transfer is flagged if significant."""

from __future__ import annotations

import numpy as np
import pytest

from curate.selectors.assessment.intervals import Resampling
from curate.selectors.assessment.seeds import harmed, retention_gain, retention_over_seeds

HOW = Resampling(draws=500)


def answers(*shares: float, items: int = 200) -> np.ndarray:
    """Return 0/1 scores: in group g the first shares[g] of the items are right."""
    return np.concatenate([np.arange(items) < round(share * items) for share in shares]).astype(np.float64)


GROUP = np.repeat(np.arange(3), 200)


def test_gain_excludes_zero_for_a_better_method_only() -> None:
    rng = np.random.default_rng(3)
    original, use = answers(0.9, 0.8, 0.9), np.ones(3, dtype=bool)

    def method(share: float) -> np.ndarray:
        return (rng.random((5, 600)) < share).astype(np.float64)

    base = method(0.5)
    better = retention_gain(method(0.62), base, original, GROUP, 3, use, HOW)
    equal = retention_gain(method(0.5), base, original, GROUP, 3, use, HOW)
    assert better.low > 0.05
    assert better.p is not None
    assert better.p < 0.01
    assert equal.low < 0 < equal.high
    assert retention_gain(base, base, original, GROUP, 3, use, HOW).value == 0
    mean, worst = (retention_over_seeds(base, original, GROUP, 3, use, HOW, worst=worst) for worst in (False, True))
    assert worst.value <= mean.value
    assert mean.value == pytest.approx(
        np.mean([(base[:, GROUP == g].mean() / original[GROUP == g].mean()) for g in range(3)])
    )


def test_harm_over_seeds_is_flagged_beyond_chance_only() -> None:
    rng = np.random.default_rng(1)
    compressed = answers(0.5, 0.5, 0.5)
    shares = np.repeat([0.6, 0.49, 0.35], 200)
    method = (rng.random((5, 600)) < shares).astype(np.float64)
    assert harmed(method, compressed, GROUP, 3, HOW).tolist() == [False, False, True]
    assert not harmed(np.stack([compressed] * 5), compressed, GROUP, 3, HOW).any()
