"""Divergence from the original per group of rows, and how much of it a recovery closed.

The mean over tokens of KL(original ‖ model), with intervals over rows: rows are resampled, and every token of a drawn
row counts once. gap closed = 1 − KL(model) / KL(compressed): 1 = the original again, 0 = as far as before, below 0 =
further away. Unlike retention it needs no ratio to the original's score, so no group is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.assessment.intervals import (
    Interval,
    Resampling,
    group_means,
    holm,
    percentile_interval,
    replicate_means,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNDEFINED = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class GroupDivergence:
    """One group of rows."""

    group: int
    items: int
    tokens: int
    model: Interval
    """Mean KL(original ‖ model) per token, nats, >= 0; smaller = closer."""
    compressed: Interval
    """The same of the compressed model; NaN without one."""
    closed: Interval
    """1 − model / compressed, paired by row, <= 1; NaN without a compressed model or where that is the original."""
    further: bool
    """Whether the model is further from the original than the compressed one, p < 1 − confidence after Holm's
    correction for the number of groups."""


def assess_divergence(
    model: NDArray[np.float64],
    compressed: NDArray[np.float64] | None,
    tokens: NDArray[np.int64],
    group: NDArray[np.int64],
    n_groups: int,
    how: Resampling,
) -> list[GroupDivergence]:
    """Return the divergence of every group, in order.

    Parameters
    ----------
    model, compressed : ndarray of shape (n,), float64
        Nats per token of each row, >= 0, finite.
    tokens : ndarray of shape (n,), int64
        Supervised tokens of each row, >= 1.
    group : ndarray of shape (n,), int
        From 0; none is empty.
    n_groups : int
    how : Resampling
    """
    # A mean over tokens with resampled rows is a ratio of two resampled means: nats of the rows over their tokens.
    rows = np.stack([model * tokens, (model if compressed is None else compressed) * tokens, tokens.astype(np.float64)])
    means = group_means(rows, group, n_groups)
    drawn = replicate_means(rows, group, n_groups, how.draws, np.random.default_rng(how.seed))
    per_token, replicates = means[:2] / means[2], drawn[:, :2] / drawn[:, 2:]

    def interval(g: int, which: int) -> Interval:
        return percentile_interval(float(per_token[which, g]), replicates[:, which, g], how)

    changes = [
        percentile_interval(float(per_token[0, g] - per_token[1, g]), replicates[:, 0, g] - replicates[:, 1, g], how)
        for g in range(n_groups)
    ]
    adjusted = holm(np.array([np.nan if change.p is None else change.p for change in changes]))
    sizes, total = np.bincount(group, minlength=n_groups), np.bincount(group, weights=tokens, minlength=n_groups)
    return [
        GroupDivergence(
            group=g,
            items=int(sizes[g]),
            tokens=int(total[g]),
            model=interval(g, 0),
            compressed=UNDEFINED if compressed is None else interval(g, 1),
            closed=UNDEFINED if compressed is None else _closed(per_token[:, g], replicates[:, :, g], how),
            further=bool(changes[g].value > 0 and adjusted[g] < 1 - how.confidence),
        )
        for g in range(n_groups)
    ]


def _closed(point: NDArray[np.float64], drawn: NDArray[np.float64], how: Resampling) -> Interval:
    """Return 1 − model / compressed for a point of shape (2,) and its replicates of shape (draws, 2)."""
    values = np.concatenate([point[None], drawn])
    ratio = np.divide(values[:, 0], values[:, 1], out=np.full(len(values), np.nan), where=values[:, 1] > 0)
    return percentile_interval(float(1 - ratio[0]), 1 - ratio[1:], how)
