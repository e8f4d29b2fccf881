"""Synthetic rows with an obvious structure: well separated directions with noise."""

import numpy as np
from numpy.typing import NDArray


def blobs(
    n: int, groups: int, *, width: int = 24, noise: float = 0.12, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return n rows around `groups` orthogonal directions, shuffled, and the group of each."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.arange(n) % groups).astype(np.int32)
    rows = np.eye(width)[group] + noise * rng.standard_normal((n, width))
    return rows.astype(np.float32), group


def ring(n: int) -> NDArray[np.float32]:
    """Return n rows evenly on a circle: one connected graph without clusters."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
