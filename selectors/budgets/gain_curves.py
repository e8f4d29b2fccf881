"""Gain curves: how much loss a cluster gives back for n rows of its own, g(n) = G · (1 − exp(−n / τ)).

Fitted to the losses before and after pilots of a few sizes; G is the ceiling in nats per token, τ the rows after which
63 % of it are reached. For a given τ the best G is linear least squares, so τ alone is searched, on a grid. Intervals
are percentiles of bootstrap draws. Knows nothing of models and of budgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DRAWS = 1000
"""Bootstrap draws."""
CONFIDENCE = 0.95
GRID = 512
"""Values of τ that are tried, a ratio of about 1.01 apart."""
SHORTEST, LONGEST = 0.25, 4.0
"""τ is looked for between these times the smallest and the largest pilot: beyond, pilots cannot tell it."""


@dataclass(frozen=True)
class PilotLosses:
    """What the pilots of one cluster measured on m held-out rows."""

    sizes: NDArray[np.int64]
    """Rows of each pilot, shape (s,), >= 1."""
    n_tokens: NDArray[np.int64]
    """Supervised tokens of each held-out row, shape (m,), >= 1."""
    before: NDArray[np.float64]
    """Σ −log p of each, nats, shape (m,), >= 0."""
    after: NDArray[np.float64]
    """The same after each pilot, shape (s, m)."""


@dataclass(frozen=True)
class GainCurve:
    """One fitted curve; each parameter with the ends of its interval."""

    ceiling: tuple[float, float, float]
    """G in nats per token, >= 0: value, low, high."""
    tau: tuple[float, float, float]
    """τ in rows, > 0."""


def fit(
    sizes: NDArray[np.int64], gain: NDArray[np.float64], weight: NDArray[np.float64], most: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ceilings and the τ of b curves by weighted least squares, each of shape (b,).

    Parameters
    ----------
    sizes : ndarray of shape (p,)
        Rows of each point, >= 1.
    gain : ndarray of shape (b, p)
        Fall of the loss, nats per token; may be negative.
    weight : ndarray of shape (b, p)
        Weight of each point, >= 0, not all 0.
    most : ndarray of shape (b,)
        Largest ceiling, >= 0: a loss cannot fall below 0.
    """
    taus = np.geomspace(SHORTEST * sizes.min(), LONGEST * sizes.max(), GRID)
    shape = -np.expm1(-sizes / taus[:, None])  # (GRID, p)
    moment, square = (weight * gain) @ shape.T, weight @ (shape**2).T  # (b, GRID)
    ceiling = np.clip(moment / square, 0.0, most[:, None])
    # Least squares less what does not depend on the curve.
    best = np.argmin(ceiling**2 * square - 2.0 * ceiling * moment, axis=1)
    return ceiling[np.arange(len(gain)), best], taus[best]


def cluster_curve(losses: PilotLosses, seed: int) -> GainCurve:
    """Return the curve of one cluster; its intervals are over held-out rows, drawn again with replacement.

    They tell how well the held-out rows stand for the cluster, not how another draw of the pilots' rows would have
    trained.
    """
    m = len(losses.n_tokens)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(m, np.full(m, 1.0 / m), DRAWS).astype(np.float64)
    counts = np.concatenate([np.ones((1, m)), drawn])  # the first is the sample itself
    tokens = counts @ losses.n_tokens
    before = counts @ losses.before / tokens
    gain = before[:, None] - counts @ losses.after.T / tokens[:, None]
    return _curve(*fit(losses.sizes, gain, np.ones_like(gain), before))


def pooled_curve(clusters: Sequence[PilotLosses], seed: int) -> GainCurve:
    """Return one curve for all clusters, a point weighing as much as its held-out tokens.

    It stands for a cluster too small for pilots; its intervals are over clusters, drawn again with replacement.
    """
    k = len(clusters)
    rng = np.random.default_rng(seed)
    counts = np.concatenate([np.ones((1, k)), rng.multinomial(k, np.full(k, 1.0 / k), DRAWS)])
    tokens = np.array([one.n_tokens.sum() for one in clusters], dtype=np.float64)
    before = np.array([one.before.sum() for one in clusters])
    gains = [(one.before.sum() - one.after.sum(axis=1)) / one.n_tokens.sum() for one in clusters]
    points = np.repeat(np.arange(k), [len(one) for one in gains])
    weight = (counts * tokens)[:, points]
    gain = np.broadcast_to(np.concatenate(gains), weight.shape)
    sizes = np.concatenate([one.sizes for one in clusters])
    return _curve(*fit(sizes, gain, weight, counts @ before / (counts @ tokens)))


def _curve(ceiling: NDArray[np.float64], tau: NDArray[np.float64]) -> GainCurve:
    tail = (1.0 - CONFIDENCE) / 2
    ends = [np.quantile(values[1:], [tail, 1.0 - tail]) for values in (ceiling, tau)]
    first, second = ((float(v[0]), float(e[0]), float(e[1])) for v, e in zip((ceiling, tau), ends, strict=True))
    return GainCurve(first, second)
