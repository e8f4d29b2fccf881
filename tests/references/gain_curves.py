"""Reference gain curves and budgets by SciPy's general solvers."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import curve_fit, minimize


def gain(n, ceiling, tau):
    return ceiling * (1.0 - np.exp(-np.asarray(n, float) / tau))


def fit_slowly(sizes, gains, most, taus):
    """Fit one curve by SciPy's least squares from several starts, bounds as given."""
    best, error = (0.0, taus[0]), math.inf
    for start in np.geomspace(taus[0], taus[1], 12):
        parameters, _ = curve_fit(
            gain, sizes, gains, p0=(most / 2, start), bounds=([0.0, taus[0]], [most, taus[1]]), max_nfev=20000
        )
        left = float(((gain(sizes, *parameters) - gains) ** 2).sum())
        if left < error:
            best, error = tuple(parameters), left
    return best, error


def split_slowly(worth, tau, lower, upper, total):
    """Maximise Σ worth · (1 − exp(−n / tau)) with SciPy's general solver; real-valued budgets."""
    room = (upper - lower).astype(float)
    start = lower + room * (total - lower.sum()) / max(room.sum(), 1.0)
    done = minimize(
        lambda n: -float((worth * -np.expm1(-n / tau)).sum()),
        start,
        jac=lambda n: -worth / tau * np.exp(-n / tau),
        bounds=list(zip(lower.astype(float), upper.astype(float), strict=True)),
        constraints={"type": "eq", "fun": lambda n: n.sum() - total, "jac": np.ones_like},
        method="SLSQP",
        options={"maxiter": 2000, "ftol": 1e-15},
    )
    return done.x


def split_row_by_row(worth, tau, lower, upper, total):
    """Give one row after another to the cluster that gains most by it; whole budgets."""
    budget = lower.copy()
    for _ in range(total - int(lower.sum())):
        step = worth * (np.exp(-budget / tau) - np.exp(-(budget + 1) / tau))
        step[budget >= upper] = -1.0
        budget[int(np.argmax(step))] += 1
    return budget
