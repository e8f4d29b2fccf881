"""Reference clustering with dense matrices and loops in double precision, for a few hundred rows."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Matrix = NDArray[np.float64]


def unit_dense(rows: ArrayLike) -> Matrix:
    dense = np.asarray(rows, np.float64)
    return np.array([row / math.sqrt(row @ row) if row @ row > 0 else row for row in dense])


def distances_dense(rows: ArrayLike) -> Matrix:
    """All cosine distances, (n, n)."""
    unit = unit_dense(rows)
    clipped: Matrix = np.clip(1 - unit @ unit.T, 0, 2)
    return clipped


def neighbours_loop(rows: ArrayLike, k: int) -> list[list[tuple[float, int]]]:
    """Per row: the k nearest other rows as (distance, index), sorted."""
    dense = distances_dense(rows)
    return [sorted((float(dense[i, j]), j) for j in range(len(dense)) if j != i)[:k] for i in range(len(dense))]


def affinity_loop(indices: NDArray[np.int32], distances: NDArray[np.float32], bandwidth: str = "self-tuning") -> Matrix:
    """Dense symmetric affinity from neighbour lists: of mutual neighbours, and of the three nearest of every row."""
    n, k = indices.shape
    if bandwidth == "median":
        sigma = [max(float(np.median(distances)), 1e-6)] * n
    else:
        sigma = [max(float(distances[i, k - 1]), 1e-6) for i in range(n)]
    dense = np.zeros((n, n))
    lists = [list(map(int, row)) for row in indices]
    for i in range(n):
        for place, (j, d) in enumerate(zip(lists[i], distances[i], strict=True)):
            if place < 3 or i in lists[j]:
                dense[i, j] = dense[j, i] = max(
                    dense[i, j], dense[j, i], math.exp(-(float(d) ** 2) / (sigma[i] * sigma[j]))
                )
    return dense


def operator_dense(affinity: Matrix, alpha: float = 1.0) -> tuple[Matrix, Matrix]:
    """S = D^-½ W̃ D^-½ and D, with dense n × n matrices."""
    q = np.diag([s**-alpha if s > 0 else 0.0 for s in affinity.sum(axis=1)])
    thinned = q @ affinity @ q
    d = thinned.sum(axis=1)
    root = np.diag([s**-0.5 if s > 0 else 0.0 for s in d])
    return root @ thinned @ root, d


def coordinates_dense(affinity: Matrix, t: float = 1.0) -> Matrix:
    """First two non-trivial λ^t ψ of the random walk D⁻¹W̃ of a connected graph, by a non-symmetric solver."""
    _, d = operator_dense(affinity)
    q = np.diag(1 / affinity.sum(axis=1))
    walk = (q @ affinity @ q) / d[:, None]
    values, vectors = np.linalg.eig(walk)
    order = np.argsort(-values.real)[1:3]
    psi = vectors.real[:, order]
    psi /= np.sqrt((psi**2 * (d / d.sum())[:, None]).sum(axis=0))
    scaled: Matrix = psi * values.real[order] ** t
    return scaled


def factorise_loop(s: Matrix, start: Matrix, steps: int) -> Matrix:
    """Damped multiplicative symmetric NMF with the n × n product written out."""
    h = start.copy()
    for _ in range(steps):
        above, below = s @ h, (h @ h.T) @ h
        h = np.array(
            [
                [
                    h[i, c] * (0.5 + 0.5 * (above[i, c] / below[i, c] if below[i, c] > 0 else 0))
                    for c in range(h.shape[1])
                ]
                for i in range(len(h))
            ]
        )
    return h


def error_dense(s: Matrix, h: Matrix) -> float:
    return float(((s - h @ h.T) ** 2).sum())


def heldout_modularity_loop(
    labels: NDArray[np.int32], training: Matrix, held_out: Sequence[tuple[int, int, float]]
) -> float:
    """Q by loops: `training` a dense affinity, `held_out` a list of (i, j, weight)."""
    total = sum(w for _, _, w in held_out)
    inside = sum((w for i, j, w in held_out if labels[i] == labels[j]), 0.0)
    degree: dict[int, float] = {}
    for i in range(len(training)):
        for j in range(len(training)):
            degree[int(labels[i])] = degree.get(int(labels[i]), 0.0) + float(training[i, j])
    everything = sum(degree.values())
    return inside / total - sum([(share / everything) ** 2 for share in degree.values()])


def same_partition(labels: Sequence[int] | NDArray[np.int32], others: Sequence[int] | NDArray[np.int32]) -> bool:
    """Whether two labellings are one partition under two namings: every pair of rows is together in both or neither."""
    pairs = combinations(range(len(labels)), 2)
    return all((labels[i] == labels[j]) == (others[i] == others[j]) for i, j in pairs)


def rake_loop(runs: list[list[str]], most: int) -> list[tuple[str, float]]:
    """RAKE's ranking from lists of content words: degree over frequency by counting co-occurrences pair by pair."""
    candidates: list[list[str]] = []
    for run in runs:
        candidates += [run] if len(run) <= 4 else [[word] for word in run]
    together: dict[tuple[str, str], int] = {}
    frequency: dict[str, int] = {}
    for phrase in candidates:
        for word in phrase:
            frequency[word] = frequency.get(word, 0) + 1
            for other in phrase:
                together[word, other] = together.get((word, other), 0) + 1
    scored: dict[str, float] = {}
    for phrase in candidates:
        score = 0.0
        for word in phrase:
            score += sum(count for (first, _), count in together.items() if first == word) / frequency[word]
        scored[" ".join(phrase)] = score
    return sorted(scored.items(), key=lambda item: (-round(item[1], 9), item[0]))[:most]


def log_odds_loop(documents: Sequence[set[str]], labels: Sequence[int], cluster: int, term: str, prior: float) -> float:
    """z-score of one term in one cluster, from sets of terms."""
    y = sum(term in doc for doc, label in zip(documents, labels, strict=True) if label == cluster)
    rest = sum(term in doc for doc, label in zip(documents, labels, strict=True) if label != cluster)
    n = sum(label == cluster for label in labels)
    m = len(labels) - n
    alpha, alpha_all = prior * (y + rest), prior * len(labels)
    a, b = y + alpha, rest + alpha
    inside = math.log(a / (n + alpha_all - a + prior))
    outside = math.log(b / (m + alpha_all - b + prior))
    return (inside - outside) / math.sqrt(1 / a + 1 / b)


def silhouette_loop(rows: ArrayLike, labels: NDArray[np.int32]) -> float:
    """Mean over rows of (b − a) / max(a, b), from all cosine distances; 0 for a row alone in its cluster."""
    distances, scores = distances_dense(rows), []
    for i, own in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        mean = {
            int(k): float(np.mean([distances[i, j] for j in others if labels[j] == k]))
            for k in {int(labels[j]) for j in others}
        }
        a = mean.pop(int(own), None)
        b = min(mean.values(), default=0.0)
        scores.append((b - a) / max(a, b) if a is not None and max(a, b) > 0 else 0.0)
    return float(np.mean(scores))
