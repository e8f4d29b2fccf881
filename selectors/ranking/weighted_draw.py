"""Drawing a few rows without replacement, heavier rows more often: calibration sets for quantisers.

Method A-Res of Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006), Information Processing
Letters 97(5): row i gets the key u_i^(1/w_i), u_i uniform on (0, 1), and the rows with the largest keys are drawn. That
equals drawing one row after another, each with a probability proportional to its weight among the rows that are left.
Departs from it by comparing log(u_i) / w_i, which orders the same and does not underflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw(weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows that are drawn, in the order in which they are.

    Parameters
    ----------
    weights : ndarray of shape (rows,), float64
        Not negative and finite; larger = drawn more often. Rows of weight 0 come last, in a random order.
    n : int
        Rows to draw; all of them where there are fewer.
    rng : numpy.random.Generator
        Source of one number a row, whatever `n`: a smaller draw is the beginning of a larger one.

    Raises
    ------
    ValueError
        If a weight is negative or not finite.
    """
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite and not negative")
    uniform = 1.0 - rng.random(len(weights))  # in (0, 1]: its logarithm is finite
    heavy = weights > 0
    keys = np.where(heavy, np.log(uniform) / np.where(heavy, weights, 1.0), uniform)
    order = np.lexsort((np.arange(len(weights)), -keys, ~heavy))
    return order[:n].astype(np.int64)
