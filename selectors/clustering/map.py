"""Two-dimensional map of the corpus for display: one disc per cluster, similar clusters close, one point per row.

Centres by classical scaling of the clusters' mean embeddings, area of a disc ∝ rows of the cluster. Source: ours
(docs/decisions/0009). The first two diffusion coordinates are faithful but unreadable: on real corpora they put one or
two small groups far away and everything else in one heap. No figure is computed from this map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILL = 0.55
"""Radius of a disc with the whole corpus, where centres span [−1, 1]."""
GAP = 1.06
"""Smallest distance of two centres, as a multiple of the sum of their radii."""
STEPS = 500
"""Largest number of rounds of separating overlapping discs; a hundred clusters need about fifty."""


def cluster_map(embeddings: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return a point in the plane for every row.

    Centres of clusters are at the classical scaling of the distances between their mean embeddings, moved apart until
    no two discs overlap; the area of a disc is the cluster's share of the rows. Inside a disc, a row's
    direction is that of its two principal coordinates within the cluster, and its distance from the centre is the
    rank of their length, which fills the disc evenly.

    Parameters
    ----------
    embeddings : ndarray of shape (n, width)
        Unit rows.
    labels : ndarray of shape (n,), integer
        0 … K−1 without gaps.

    Returns
    -------
    ndarray of shape (n, 2), float32, about [−1, 1], without unit. Deterministic.
    """
    centres, radii = discs(embeddings, labels)
    places = np.empty((len(labels), 2), dtype=np.float32)
    for k, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
        members = np.flatnonzero(labels == k)
        rows = np.asarray(embeddings[members], dtype=np.float64)
        places[members] = centre + radius * disc(rows - rows.mean(axis=0))
    return places


def discs(
    embeddings: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centre, (K, 2), and the radius, (K,), of every cluster's disc; see `cluster_map`."""
    sizes = np.bincount(labels)
    radii = FILL * np.sqrt(sizes / sizes.sum())
    means = np.stack([embeddings[labels == k].mean(axis=0, dtype=np.float64) for k in range(len(sizes))])
    return separate_discs(classical_scaling(means), radii), radii


def classical_scaling(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two leading principal coordinates of `points`, (n, width), scaled into [−1, 1], shape (n, 2)."""
    centred = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    # The Gram matrix of centred points is that of classical scaling: its eigenvectors times √eigenvalue are the
    # principal coordinates. K × K, whatever the width.
    scaled = np.zeros((len(points), 2))
    n_axes = min(2, len(points))
    scaled[:, :n_axes] = vectors[:, ::-1][:, :n_axes] * np.sqrt(np.maximum(values[::-1][:n_axes], 0.0))
    scaled *= _signs(scaled)
    largest = np.abs(scaled).max()
    return scaled / largest if largest > 0 else scaled


def separate_discs(centres: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `centres`, (K, 2), moved apart by relaxation until no two discs overlap."""
    # Coincident centres have no direction to separate in: each gets a small offset at the golden angle.
    angle = 2.4 * np.arange(len(centres))
    places = centres + 1e-3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    need = GAP * (radii[:, None] + radii[None, :])
    np.fill_diagonal(need, 0.0)
    for _ in range(STEPS):
        apart = places[:, None, :] - places[None, :, :]
        distance = np.sqrt((apart**2).sum(axis=-1))
        missing = np.maximum(need - distance, 0.0)
        if missing.max() <= 1e-3:
            break
        push = apart / np.maximum(distance, 1e-9)[..., None] * missing[..., None]
        # Each pair moves by a quarter of the missing distance per disc: with more, neighbours on both sides overshoot.
        places = places + 0.25 * push.sum(axis=1)
    moved: NDArray[np.float64] = places - places.mean(axis=0)
    return moved


def disc(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a point in the unit disc for each of the centred `rows`, (m, width), evenly filled, ties by position."""
    _, vectors = np.linalg.eigh(rows.T @ rows)
    flat = rows @ vectors[:, :-3:-1]
    flat *= _signs(flat)
    if flat.shape[1] < 2:
        flat = np.hstack([flat, np.zeros((len(rows), 1))])
    length = np.hypot(flat[:, 0], flat[:, 1])
    rank = np.empty(len(rows))
    rank[np.argsort(length, kind="stable")] = np.arange(len(rows))
    angle = np.arctan2(flat[:, 1], flat[:, 0])
    # The area inside radius r grows with r², so √rank gives every rank the same area.
    radius = np.sqrt(rank / len(rows))
    places: NDArray[np.float64] = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return places


def _signs(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ±1 per column that makes its entry of largest magnitude positive: eigenvectors have no sign."""
    largest = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    return np.where(largest < 0, -1.0, 1.0)
