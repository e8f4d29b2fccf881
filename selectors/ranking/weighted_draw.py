"""Weighted random sampling without replacement, for calibration sets of quantisers.

Row i gets the key u_i^(1/w_i), u_i uniform on (0, 1), and the rows with the largest keys are drawn. This equals drawing
one row after another with probability proportional to its weight among the remaining rows.

Source: algorithm A-Res, Efraimidis & Spirakis 2006, "Weighted random sampling with a reservoir", Information Processing
Letters 97(5). Departure: keys are compared as log(u_i) / w_i, which gives the same order and does not underflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw(weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows drawn, in the order of drawing.

    Parameters
    ----------
    weights : ndarray of shape (rows,), float64
        Finite, >= 0; larger = more likely. Rows of weight 0 come last, in random order.
    n : int
        Rows to draw; all if there are fewer.
    rng : numpy.random.Generator
        One number per row is drawn, whatever `n`, so a smaller draw is a prefix of a larger one.

    Raises
    ------
    ValueError
        If a weight is negative or not finite.
    """
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite and not negative")
    uniform = 1.0 - rng.random(len(weights))  # in (0, 1], so that its logarithm is finite
    heavy = weights > 0
    # P(−log(u)/w > t) = e^(−w t): −keys are exponential times with rates w_i, and the first of several such times is
    # that of row i with probability w_i / Σ w. The remaining ones are memoryless, hence the same rule again.
    keys = np.where(heavy, np.log(uniform) / np.where(heavy, weights, 1.0), uniform)
    order = np.lexsort((np.arange(len(weights)), -keys, ~heavy))
    return order[:n].astype(np.int64)
