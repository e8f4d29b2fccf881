"""Mean silhouette of clusters in cosine distance, without a matrix of distances.

s_i = (b_i − a_i) / max(a_i, b_i); a_i is the mean distance to the other rows of the own cluster, b_i the smallest mean
distance to the rows of another one; 0 for a row that is alone in its cluster.

Source: Rousseeuw 1987, with the cosine distance 1 − x·y.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from curate.selectors.clustering.affinity import SCALE_FLOOR

if TYPE_CHECKING:
    from numpy.typing import NDArray


def silhouette(rows: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Return the mean silhouette, in [−1, 1], larger = better separated; 0 for a single cluster.

    Parameters
    ----------
    rows : ndarray of shape (n, width), float32
        Unit rows.
    labels : ndarray of shape (n,), int32
        From 0, without gaps.
    """
    sizes = np.bincount(labels)
    if len(sizes) < 2:
        return 0.0
    member = np.arange(len(rows)), labels
    # The distance is linear in y, so the mean distance of a row to a cluster follows from the cluster's sum:
    # Σ_y (1 − x·y) = size − x·Σ_y y. O(n · K · width) in place of O(n² · width).
    of_cluster = sparse.csr_array((np.ones(len(rows), np.float32), labels, np.arange(len(rows) + 1)))
    totals = sizes - (rows @ (of_cluster.T @ rows).T).astype(np.float64)
    means = totals / sizes
    # The own cluster's total has the row's distance to itself, which is 0; the mean is over the other rows.
    own = totals[member] / np.maximum(sizes[labels] - 1, 1)
    means[member] = np.inf
    other = means.min(axis=1)
    largest = np.maximum(own, other)
    # Among copies all distances are rounding errors, whose ratio would be anything.
    counts = (sizes[labels] > 1) & (largest > SCALE_FLOOR)
    return float(np.where(counts, (other - own) / np.maximum(largest, SCALE_FLOOR), 0.0).mean())
