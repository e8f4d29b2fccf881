"""Reference statistics: loops over draws, groups and items."""

from __future__ import annotations

import numpy as np


def replicate_means(values, group, n_groups, draws, rng):
    """Draw items one group after the other, as the fast form does, and average what was drawn."""
    out = np.full((draws, len(values), n_groups), np.nan)
    for g in range(n_groups):
        items = [i for i in range(len(group)) if group[i] == g]
        if not items:
            continue
        drawn = rng.integers(0, len(items), (draws, len(items)))
        for d in range(draws):
            for k in range(len(values)):
                out[d, k, g] = sum(values[k][items[j]] for j in drawn[d]) / len(items)
    return out


def holm(p_values):
    """Holm's procedure for every level: the adjusted value is the smallest level at which it would be rejected."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    for place, i in enumerate(order):
        needed = [min(1.0, p_values[order[j]] * (len(p_values) - j)) for j in range(place + 1)]
        adjusted[i] = max(needed)
    return adjusted


def retention(model, original, group, g):
    own = [model[i] for i in range(len(group)) if group[i] == g]
    dense = [original[i] for i in range(len(group)) if group[i] == g]
    return (sum(own) / len(own)) / (sum(dense) / len(dense))
