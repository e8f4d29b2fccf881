"""Fits gain curves: the loss that a cluster recovers when n of its rows are trained on.

g(n) = G · (1 − exp(−n / τ)), fitted to the losses before and after pilot recoveries of a few sizes; G is the ceiling in
nats per token, τ the rows after which 63 % of it are reached.

Source: ours, an experiment (docs/decisions/0014). For a given τ the best G is linear least squares, so only τ is
searched, on a grid: no start values, no local minima. Intervals are percentiles of bootstrap draws.
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
"""Values of τ on the grid, a ratio of about 1.01 apart."""
SHORTEST, LONGEST = 0.25, 4.0
"""Bounds of τ as multiples of the smallest and the largest pilot: beyond them the pilots do not identify it."""


@dataclass(frozen=True)
class PilotLosses:
    """Losses of m held-out rows of one cluster before and after its pilots."""

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
    """One fitted curve; each parameter with the bounds of its 95 % interval."""

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
        Decrease of the loss, nats per token; may be negative.
    weight : ndarray of shape (b, p)
        Weight of each point, >= 0, not all 0.
    most : ndarray of shape (b,)
        Largest ceiling, >= 0: a loss cannot fall below 0.
    """
    taus = np.geomspace(SHORTEST * sizes.min(), LONGEST * sizes.max(), GRID)
    shape = -np.expm1(-sizes / taus[:, None])  # (GRID, p)
    # For one τ with s = shape, the error Σ w (g − G s)² = Σ w g² − 2 G Σ w g s + G² Σ w s² is a parabola in G: its
    # minimum is moment / square, and on an interval the clipped minimum. All curves and all τ are two matrix products.
    moment, square = (weight * gain) @ shape.T, weight @ (shape**2).T  # (b, GRID)
    ceiling = np.clip(moment / square, 0.0, most[:, None])
    # The error without Σ w g², which is the same for every τ.
    best = np.argmin(ceiling**2 * square - 2.0 * ceiling * moment, axis=1)
    return ceiling[np.arange(len(gain)), best], taus[best]


def cluster_curve(losses: PilotLosses, seed: int) -> GainCurve:
    """Return the curve of one cluster, with intervals by resampling its held-out rows.

    The intervals cover the sampling of held-out rows, not how another draw of training rows would have turned out.
    """
    m = len(losses.n_tokens)
    rng = np.random.default_rng(seed)
    # How often each row is in a resample; means over resamples are then matrix products.
    drawn = rng.multinomial(m, np.full(m, 1.0 / m), DRAWS).astype(np.float64)
    counts = np.concatenate([np.ones((1, m)), drawn])  # first the sample itself
    tokens = counts @ losses.n_tokens
    before = counts @ losses.before / tokens
    gain = before[:, None] - counts @ losses.after.T / tokens[:, None]
    return _curve(*fit(losses.sizes, gain, np.ones_like(gain), before))


def pooled_curve(clusters: Sequence[PilotLosses], seed: int) -> GainCurve:
    """Return one curve for all clusters, each point weighted by its held-out tokens.

    Used for clusters too small for pilots; its intervals are by resampling clusters.
    """
    k = len(clusters)
    rng = np.random.default_rng(seed)
    counts = np.concatenate([np.ones((1, k)), rng.multinomial(k, np.full(k, 1.0 / k), DRAWS)])
    tokens = np.array([one.n_tokens.sum() for one in clusters], dtype=np.float64)
    before = np.array([one.before.sum() for one in clusters])
    gains = [(one.before.sum() - one.after.sum(axis=1)) / one.n_tokens.sum() for one in clusters]
    points = np.repeat(np.arange(k), [len(one) for one in gains])
    # The points of a cluster are drawn together: they share its held-out rows and are not independent.
    weight = (counts * tokens)[:, points]
    gain = np.broadcast_to(np.concatenate(gains), weight.shape)
    sizes = np.concatenate([one.sizes for one in clusters])
    return _curve(*fit(sizes, gain, weight, counts @ before / (counts @ tokens)))


def _curve(ceiling: NDArray[np.float64], tau: NDArray[np.float64]) -> GainCurve:
    tail = (1.0 - CONFIDENCE) / 2
    ends = [np.quantile(values[1:], [tail, 1.0 - tail]) for values in (ceiling, tau)]
    first, second = ((float(v[0]), float(e[0]), float(e[1])) for v, e in zip((ceiling, tau), ends, strict=True))
    return GainCurve(first, second)
