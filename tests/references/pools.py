"""Synthetic random pools for tests and benchmarks of selection methods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from curate.schemas.selection import Pool, RowVectors


def make_pool(
    n: int,
    seed: int = 0,
    *,
    n_clusters: int = 12,
    n_concepts: int | None = None,
    concepts_per_row: float = 8.0,
    ineligible: float = 0.05,
    width: int = 0,
) -> Any:
    """Return a pool of `n` rows with every signal, clusters of uneven size and damage, and Zipf-like concepts.

    Typed as Any, so that tests need not check that the optional parts of this `Pool` are present.
    """
    rng = np.random.default_rng(seed)
    cluster = rng.choice(n_clusters, n, p=rng.dirichlet(np.full(n_clusters, 2.0))).astype(np.int32)
    damage = rng.gamma(1.0, 0.05, n_clusters)
    eligible = rng.random(n) >= ineligible
    eligible[:1] = True
    numbers = rng.permutation(16 * n)[:n]
    signals = {
        "cds": np.minimum(rng.gamma(2.0, 0.5 * damage[cluster]), np.log(2)),
        "don": rng.normal(0.0, 1e-4, n),
        "nod": rng.gamma(3.0, 1e-3, n),
        "nll_original": rng.gamma(2.0, 0.7, n),
        "nll_compressed": rng.gamma(2.0, 0.9, n),
        "ifd": rng.gamma(8.0, 0.1, n),
    }
    for values in signals.values():
        values[~eligible] = np.nan
    return Pool(
        example_id=np.array([f"{number:020x}" for number in numbers.tolist()]),
        eligible=eligible,
        reason=np.where(eligible, "", "no_response_tokens").astype(object),
        n_prompt_tokens=rng.integers(3, 120, n),
        n_response_tokens=np.where(eligible, rng.geometric(0.01, n).clip(1, 400), 0),
        signals=signals,
        cluster=cluster,
        concepts=draw_concepts(rng, n, n_concepts or 4 * n, concepts_per_row),
        embeddings=draw_embeddings(rng, cluster, n_clusters, width) if width else None,
    )


def draw_concepts(rng: np.random.Generator, n: int, n_concepts: int, per_row: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ragged concept ids, ascending and distinct within a row, frequencies by Zipf-Mandelbrot's law."""
    lengths = rng.poisson(per_row, n)
    owner = np.repeat(np.arange(n), lengths)
    shift = 20.0
    drawn = shift * ((n_concepts / shift + 1.0) ** rng.random(len(owner)) - 1.0)
    pairs = np.unique(owner * n_concepts + drawn.astype(np.int64).clip(0, n_concepts - 1))
    counts = np.bincount(pairs // n_concepts, minlength=n)
    return np.concatenate([[0], np.cumsum(counts)]), (pairs % n_concepts).astype(np.int32)


def draw_embeddings(rng: np.random.Generator, cluster: np.ndarray, n_clusters: int, width: int) -> np.ndarray:
    """Return unit rows around one direction per cluster."""
    centres = rng.normal(size=(n_clusters, width)).astype(np.float32)
    points: np.ndarray = centres[cluster] + rng.normal(size=(len(cluster), width)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def shuffled(pool: Any, seed: int) -> tuple[Any, np.ndarray]:
    """Return the same rows in another order, with the permutation: new row i was row permutation[i]."""
    order = np.random.default_rng(seed).permutation(len(pool))
    offsets, values = pool.concepts if pool.concepts is not None else (np.zeros(len(pool) + 1, int), np.zeros(0, int))
    rows = [values[offsets[i] : offsets[i + 1]] for i in order.tolist()]
    counts = np.array([len(row) for row in rows])
    return replace(
        pool,
        example_id=pool.example_id[order],
        eligible=pool.eligible[order],
        reason=pool.reason[order],
        n_prompt_tokens=pool.n_prompt_tokens[order],
        n_response_tokens=pool.n_response_tokens[order],
        signals={name: values[order] for name, values in pool.signals.items()},
        cluster=None if pool.cluster is None else pool.cluster[order],
        concepts=(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(rows)),
        embeddings=None if pool.embeddings is None else pool.embeddings[order],
        vectors=None if pool.vectors is None else RowVectors(pool.vectors.unit[order], pool.vectors.length[order]),
        pinned=None if pool.pinned is None else pool.pinned[order],
    ), order
