"""Compares two selections of one pool: common rows, rows per cluster, lengths and signal distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

QUANTILES = (0.1, 0.5, 0.9)
"""Quantiles of each signal that are reported."""


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, Any]:
    """Return counts, Jaccard index, and the expected overlap of two random draws of the same sizes.

    Parameters
    ----------
    first, second : ndarray of shape (n,), bool
        Whether each example is kept.
    """
    a, b, both = int(first.sum()), int(second.sum()), int((first & second).sum())
    return {
        "kept_first": a,
        "kept_second": b,
        "kept_both": both,
        "both_by_chance": a * b / len(first) if len(first) else 0.0,
        "jaccard": both / (a + b - both) if a + b else 0.0,
        "share_of_smaller": both / min(a, b) if a and b else 0.0,
    }


def per_cluster(
    cluster: NDArray[np.int64], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return for each cluster its size, the rows that each selection keeps, and its share of each selection."""
    n = int(cluster.max()) + 1 if len(cluster) else 0
    columns = {
        "size": np.bincount(cluster, minlength=n),
        "kept_first": np.bincount(cluster[first], minlength=n),
        "kept_second": np.bincount(cluster[second], minlength=n),
        "kept_both": np.bincount(cluster[first & second], minlength=n),
    }
    totals = {"share_first": max(int(first.sum()), 1), "share_second": max(int(second.sum()), 1)}
    shares = {name: columns[name.replace("share", "kept")] / total for name, total in totals.items()}
    return [
        {"cluster": k, **{name: int(values[k]) for name, values in columns.items()},
         **{name: float(values[k]) for name, values in shares.items()}}
        for k in range(n)
    ]  # fmt: skip


def token_histogram(
    tokens: NDArray[np.int64], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> list[dict[str, int]]:
    """Return the corpus and both selections by length, in bins of powers of two, without empty bins at the ends.

    Parameters
    ----------
    tokens : ndarray of shape (n,)
        Prompt and response tokens of each example; examples of 0 tokens are in the first bin.
    """
    bins = np.floor(np.log2(np.maximum(tokens, 1))).astype(np.int64)
    if not len(bins):
        return []
    counts = {
        "examples": np.bincount(bins),
        "kept_first": np.bincount(bins[first], minlength=bins.max() + 1),
        "kept_second": np.bincount(bins[second], minlength=bins.max() + 1),
    }
    return [
        {"tokens_from": 2**b, "tokens_to": 2 ** (b + 1) - 1, **{name: int(n[b]) for name, n in counts.items()}}
        for b in range(int(bins.min()), int(bins.max()) + 1)
    ]


def signal_quantiles(
    signals: Mapping[str, NDArray[np.float64]], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return quantiles of every signal over the corpus and both selections, and the distance of the selections.

    ``distance`` is the Kolmogorov–Smirnov distance of the two selections' distributions, in [0, 1], 0 = the same.
    Signals without a finite value in each of the three are omitted.
    """
    rows = []
    for name, values in signals.items():
        known = np.isfinite(values)
        parts = {"corpus": values[known], "first": values[known & first], "second": values[known & second]}
        if not all(len(part) for part in parts.values()):
            continue
        row: dict[str, Any] = {"signal": name, "distance": _distance(parts["first"], parts["second"])}
        for subset, part in parts.items():
            row |= {f"{subset}_q{round(q * 100)}": float(np.quantile(part, q)) for q in QUANTILES}
        rows.append(row)
    return rows


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the largest difference of the two empirical distribution functions."""
    # Both are step functions: their difference is extreme at one of the values.
    at = np.concatenate([first, second])
    below = [np.searchsorted(np.sort(part), at, side="right") / len(part) for part in (first, second)]
    return float(np.abs(below[0] - below[1]).max())
