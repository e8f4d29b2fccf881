"""TOPSIS over DON and NOD: the closeness of each row to the ideal row, DONOD's score.

C_i = D⁻_i / (D⁺_i + D⁻_i), D⁺ and D⁻ the distances to the ideal and the anti-ideal row. Source: DONOD, arXiv 2504.14810
§3. Departure: the two columns may be clipped or replaced by ranks first. Values must be finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Normalise = Literal["vector", "winsor", "rank"]

_WINSOR_PERCENTILES = (1.0, 99.0)


def closeness(
    don: NDArray[np.float64], nod: NDArray[np.float64], don_weight: float = 0.5, normalise: Normalise = "vector"
) -> NDArray[np.float64]:
    """Return the closeness of every row to the ideal row.

    Parameters
    ----------
    don : ndarray of shape (m,)
        Benefit, larger = better, finite, any sign.
    nod : ndarray of shape (m,)
        Cost, smaller = better, finite.
    don_weight : float
        Weight of `don` in [0, 1]; `nod` weighs the rest.
    normalise : {"vector", "winsor", "rank"}
        Transformation of a column before the paper's vector normalisation: none; clipped to its 1st and 99th
        percentile; replaced by mean ranks.

    Returns
    -------
    ndarray of shape (m,), float64
        C_i in [0, 1], larger = better; ½ where both distances are zero.

    Notes
    -----
    With v the weighted normalised columns, A⁺ = (max v_don, min v_nod), A⁻ = (min v_don, max v_nod) and D the Euclidean
    distances to them. A column whose norm is zero stays zero.
    """
    # D⁺ = D⁻ = 0 only if all rows are equal; then the ideal is also the anti-ideal and every row is halfway.
    if len(don) == 0:
        return np.zeros(0)
    benefit = don_weight * _normalised(don, normalise)
    cost = (1.0 - don_weight) * _normalised(nod, normalise)
    to_best = np.hypot(benefit - benefit.max(), cost - cost.min())
    to_worst = np.hypot(benefit - benefit.min(), cost - cost.max())
    total = to_best + to_worst
    result: NDArray[np.float64] = np.divide(to_worst, total, out=np.full(len(don), 0.5), where=total > 0)
    return result


def closeness_within(
    stratum: NDArray[np.int64],
    don: NDArray[np.float64],
    nod: NDArray[np.float64],
    don_weight: float = 0.5,
    normalise: Normalise = "vector",
) -> NDArray[np.float64]:
    """Return `closeness` computed separately inside each stratum (shape (m,), numbered from 0)."""
    result = np.empty(len(don))
    order = np.argsort(stratum, kind="stable")
    for places in np.split(order, np.cumsum(np.bincount(stratum))[:-1]) if len(order) else []:
        result[places] = closeness(don[places], nod[places], don_weight, normalise)
    return result


def _normalised(column: NDArray[np.float64], normalise: Normalise) -> NDArray[np.float64]:
    """Return the transformed column divided by its Euclidean norm, shape (m,)."""
    values = column.astype(np.float64)
    if normalise == "winsor":
        values = np.clip(values, *np.percentile(values, _WINSOR_PERCENTILES))
    elif normalise == "rank":
        values = _mean_ranks(values)
    largest = np.abs(values).max()
    if largest == 0:
        return values
    # Scaled by the largest value first: the squares of 1e-200 and 1e200 are not representable.
    scaled = values / largest
    unit: NDArray[np.float64] = scaled / np.sqrt(np.sum(scaled**2))
    return unit


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 1, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Equal values occupy the ranks last − count + 1 … last, whose mean is last − (count − 1)/2.
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse]
