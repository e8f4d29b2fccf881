"""Random vectors of rows, with a direction for each cluster."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.schemas.selection import RowVectors


def draw_vectors(pool: Any, seed: int, width: int = 32) -> RowVectors:
    """Return unit vectors and lengths of the rows of a pool, NaN where a row is not eligible."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(int(pool.cluster.max()) + 1, width))
    unit = centres[pool.cluster] + draw.normal(size=(len(pool), width))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    length = draw.gamma(2.0, 0.3, len(pool))
    return RowVectors(unit.astype(np.float16), np.where(pool.eligible, length, np.nan))
