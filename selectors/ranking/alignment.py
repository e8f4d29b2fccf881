"""Alignment of rows with a mean: how far each row's direction points along the mean of a group, or of other rows.

Vectors are stored as unit directions in float16 and their lengths; sums are taken in float64 over blocks of rows, in
the order of the rows, so that they do not depend on the number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.schemas.selection import RowVectors

_BLOCK = 1024
"""Rows whose vectors are in float64 at once: 32 MiB of sketches."""


def mean_vector(vectors: RowVectors, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of the vectors of `rows`, shape (width,), not of their directions: long ones count more."""
    total = np.zeros(vectors.unit.shape[1])
    for part, directions in _blocks(vectors, rows):
        total += np.einsum("ij,i->j", directions, vectors.length[part])
    return total / max(len(rows), 1)


def alignment_to(vectors: RowVectors, rows: NDArray[np.int64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ⟨φ_i, mean⟩ / ‖φ_i‖ of each of `rows`, shape (m,); 0 for a vector of length 0."""
    pieces = [np.einsum("ij,j->i", directions, mean) for _, directions in _blocks(vectors, rows)]
    return np.concatenate([np.zeros(0), *pieces])


def alignment_within(vectors: RowVectors, rows: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the alignment of each row with the mean of the other rows of its group, shape (m,).

    Parameters
    ----------
    vectors : RowVectors
        Of all rows of a pool.
    rows : ndarray of shape (m,)
        The rows that compete.
    group : ndarray of shape (m,)
        Group of each, from 0.

    Returns
    -------
    ndarray of shape (m,), float64
        ⟨φ_i, mean of the others⟩ / ‖φ_i‖, in the unit of the vectors, larger = better; 0 for the only row of a group.
    """
    result = np.zeros(len(rows))
    for number in np.unique(group):
        places = np.flatnonzero(group == number)
        n, members = len(places), rows[places]
        if n > 1:
            along = alignment_to(vectors, members, mean_vector(vectors, members))
            # (n · mean − φ_i) / (n − 1) is the mean without row i. Its own share is length · ‖unit‖², not length alone:
            # a unit vector rounded to float16 is a unit vector to three digits only.
            own = vectors.length[members] * _squares(vectors, members)
            result[places] = (n * along - own) / (n - 1)
    return result


def round_robin_picks(
    cosine: NDArray[np.float32], cost: NDArray[np.int64], budget: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows that targets pick in turn, each its most similar unused one, and the similarities.

    Parameters
    ----------
    cosine : ndarray of shape (t, m)
        Similarity of every target and row.
    cost : ndarray of shape (m,)
        Cost of each row; one that costs more than what remains is passed over.
    budget : int
        In the unit of `cost`.

    Notes
    -----
    The selection of RDS+ (arXiv 2503.01807 §3). Ties go to the smaller position.
    """
    preference = np.argsort(-cosine, axis=1, kind="stable")
    next_place = np.zeros(len(cosine), dtype=np.int64)
    open_rows = cost <= budget
    picks: list[int] = []
    similarity: list[float] = []
    while open_rows.any():
        target = len(picks) % len(cosine)
        while not open_rows[preference[target, next_place[target]]]:
            next_place[target] += 1
        row = int(preference[target, next_place[target]])
        picks.append(row)
        similarity.append(float(cosine[target, row]))
        budget -= int(cost[row])
        open_rows[row] = False
        # What is left only shrinks, so a row that does not fit now never will.
        open_rows &= cost <= budget
    return np.asarray(picks, dtype=np.int64), np.asarray(similarity, dtype=np.float64)


def _squares(vectors: RowVectors, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.concatenate([np.einsum("ij,ij->i", block, block) for _, block in _blocks(vectors, rows)])


def _blocks(vectors: RowVectors, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        yield part, vectors.unit[part].astype(np.float64)
