"""Summarises results per item by task and group, and detects where perplexity and knowledge disagree.

LLM-KICK (arXiv 2310.01382): a compressed model may keep its perplexity and lose its knowledge. So a model is never
judged by perplexity alone, and `disagreement` reports where the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.selectors.assessment.divergence import UNDEFINED, assess_divergence
from curate.selectors.assessment.intervals import (
    Interval,
    Resampling,
    group_means,
    percentile_interval,
    replicate_means,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SMALL_RISE = float(np.log(1.05))
"""Rise of perplexity by 5 %, in nats per token; less counts as unchanged."""


@dataclass(frozen=True)
class Results:
    """One model's results as parallel arrays of shape (n,), NaN where a figure does not apply to an item."""

    score: NDArray[np.float64]
    nll: NDArray[np.float64]
    """Nats per token."""
    token_accuracy: NDArray[np.float64]
    n_tokens: NDArray[np.int64]
    chance: NDArray[np.float64]
    divergence: NDArray[np.float64]
    """KL(original ‖ model), nats per token, >= 0."""


def summarise(
    results: Results, group: NDArray[np.int64], names: Sequence[dict[str, str]], how: Resampling
) -> list[dict[str, Any]]:
    """Return one row per group: its names, number of items, and its figures, some with intervals.

    Items without any figure (no supervised token, a failed template) do not count. The score is a mean over items,
    nll, token accuracy and divergence are means over tokens; None if no item has the figure.

    Parameters
    ----------
    results : Results
    group : ndarray of shape (n,), int
        From 0, in the order of `names`.
    names : sequence of dict
        Keys that identify each group; copied into its row.
    """
    rng = np.random.default_rng(how.seed)
    rows = []
    for g, named in enumerate(names):
        usable = (group == g) & (np.isfinite(results.score) | np.isfinite(results.nll))
        scores = results.score[usable]
        score = Interval(np.nan, np.nan, np.nan)
        if len(scores) and np.isfinite(scores).all():
            drawn = replicate_means(scores[None], np.zeros(len(scores), np.int64), 1, how.draws, rng)
            score = percentile_interval(scores.mean(), drawn[:, 0, 0], how)
        rows.append(
            {
                **named,
                "n_items": int(usable.sum()),
                "score": _known(score.value),
                "score_low": _known(score.low),
                "score_high": _known(score.high),
                "nll": token_mean(results.nll[usable], results.n_tokens[usable]),
                "token_accuracy": token_mean(results.token_accuracy[usable], results.n_tokens[usable]),
                "chance": float(results.chance[group == g].mean()) if (group == g).any() else 0.0,
                **_divergence(results, usable, how),
            }
        )
    return rows


def _divergence(results: Results, usable: NDArray[np.bool_], how: Resampling) -> dict[str, float | None]:
    known = usable & np.isfinite(results.divergence)
    one = UNDEFINED
    if known.any():
        group = np.zeros(int(known.sum()), np.int64)
        one = assess_divergence(results.divergence[known], None, results.n_tokens[known], group, 1, how)[0].model
    bounds = {"divergence": one.value, "divergence_low": one.low, "divergence_high": one.high}
    return {name: _known(value) for name, value in bounds.items()}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def token_mean(values: NDArray[np.float64], tokens: NDArray[np.int64]) -> float | None:
    """Return the mean over tokens of a per-token figure, None if no item has it."""
    known = np.isfinite(values) & (tokens > 0)
    return float(np.average(values[known], weights=tokens[known])) if known.any() else None


def nll_change(model: Results, reference: Results, use: NDArray[np.bool_], how: Resampling) -> Interval:
    """Return the change of nats per token from the reference to the model over the items `use`, paired by item.

    Negative = lower perplexity. Both must have the same items; every token has the same weight.
    """
    both = use & np.isfinite(model.nll) & np.isfinite(reference.nll)
    if not both.any():
        return Interval(np.nan, np.nan, np.nan)
    tokens = model.n_tokens[both].astype(np.float64)
    # A mean over tokens with resampled items is a ratio of two resampled means: nats of the items over their tokens.
    rows = np.stack([(model.nll - reference.nll)[both] * tokens, tokens])
    one = np.zeros(len(tokens), np.int64)
    means = group_means(rows, one, 1)
    drawn = replicate_means(rows, one, 1, how.draws, np.random.default_rng(how.seed))
    return percentile_interval(float(means[0, 0] / means[1, 0]), drawn[:, 0, 0] / drawn[:, 1, 0], how)


def score_change(model: Results, reference: Results, use: NDArray[np.bool_], how: Resampling) -> Interval:
    """Return the change of the mean score from the reference to the model over the items `use`, paired by item."""
    both = use & np.isfinite(model.score) & np.isfinite(reference.score)
    if not both.any():
        return Interval(np.nan, np.nan, np.nan)
    change = (model.score - reference.score)[both]
    drawn = replicate_means(
        change[None], np.zeros(len(change), np.int64), 1, how.draws, np.random.default_rng(how.seed)
    )
    return percentile_interval(float(change.mean()), drawn[:, 0, 0], how)


def disagreement(nll: Interval, knowledge: Interval) -> str | None:
    """Return a sentence if perplexity and closed-book knowledge disagree, else None.

    Parameters
    ----------
    nll : Interval
        Change of nats per token against the same reference, negative = better (`nll_change`).
    knowledge : Interval
        Change of the closed-book score, negative = worse (`score_change`).
    """
    if not (np.isfinite(nll.value) and np.isfinite(knowledge.value)):
        return None
    factor = np.exp(nll.value) - 1
    if knowledge.high < 0 and nll.high < SMALL_RISE:
        change = "fell" if nll.high < 0 else "hardly changed"
        return (
            f"perplexity {change} ({factor:+.1%}) while closed-book knowledge fell by {-knowledge.value:.3f} "
            f"[{-knowledge.high:.3f}, {-knowledge.low:.3f}]: do not judge this model by its perplexity"
        )
    if knowledge.low > 0 and nll.low > 0:
        return (
            f"perplexity rose ({factor:+.1%}) while closed-book knowledge grew by {knowledge.value:.3f} "
            f"[{knowledge.low:.3f}, {knowledge.high:.3f}]: perplexity hides that gain"
        )
    return None
