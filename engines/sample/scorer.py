"""Scores of an answer that need no reference: its likelihood, or a self-evaluation fitted on checked answers.

``likelihood`` is the probability of the answer, exp Σ log p over its tokens: the sum, since every further token makes a
whole answer less certain. ``selfeval`` is an L2 logistic regression on Σ log p, mean log p, mean entropy and the final
hidden state, standardised. `curate.engines.sample.calibration` fits it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.sample.answer import Answer

ScoredBy = Literal["likelihood", "selfeval"]


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted logistic regression on raw features: P(right) = σ(w · x + b)."""

    weights: NDArray[np.float64]
    bias: float

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(right), shape (n,), for features of shape (n, k)."""
        # σ(x) by the hyperbolic tangent, which does not overflow.
        return 0.5 * (1.0 + np.tanh(0.5 * (features @ self.weights + self.bias)))


@dataclass(frozen=True, eq=False)
class Scorer:
    """What an answer without a check is judged by."""

    threshold: float
    """Smallest score in [0, 1] that is accepted."""
    probe: Probe | None = None
    """The self-evaluation; None for the likelihood."""

    def score(self, answer: Answer) -> float:
        """Return the score of one answer, in [0, 1]."""
        if self.probe is None:
            return likelihood(answer)
        return float(self.probe.probabilities(features([answer]))[0])


def likelihood(answer: Answer) -> float:
    """Return the probability of the whole answer under the model."""
    return math.exp(answer.n_tokens * answer.mean_logp)


def features(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Return Σ log p, mean log p, mean entropy and the final hidden state of answers, shape (n, 3 + width)."""
    if not answers:
        return np.zeros((0, 3))
    figures = [(one.n_tokens * one.mean_logp, one.mean_logp, one.mean_entropy) for one in answers]
    return np.hstack([np.array(figures), np.stack([np.asarray(one.state, np.float64) for one in answers])])
