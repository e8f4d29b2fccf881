"""The comparison of two selections agrees with counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from curate.selectors.assessment.overlap import overlap, per_cluster, signal_quantiles, token_histogram

RNG = np.random.default_rng(0)
N = 200
FIRST, SECOND = RNG.random(N) < 0.3, RNG.random(N) < 0.2
CLUSTER = RNG.integers(0, 4, N)


def test_overlap_agrees_with_sets() -> None:
    a, b = (set(np.flatnonzero(mask).tolist()) for mask in (FIRST, SECOND))
    result = overlap(FIRST, SECOND)
    assert (result["kept_first"], result["kept_second"], result["kept_both"]) == (len(a), len(b), len(a & b))
    assert result["jaccard"] == pytest.approx(len(a & b) / len(a | b))
    assert result["share_of_smaller"] == pytest.approx(len(a & b) / min(len(a), len(b)))
    draws = [(RNG.permutation(N)[: len(a)][:, None] == RNG.permutation(N)[: len(b)]).sum() for _ in range(2000)]
    assert result["both_by_chance"] == pytest.approx(np.mean(draws), rel=0.05)


def test_selections_that_keep_nothing() -> None:
    none = np.zeros(3, dtype=bool)
    assert overlap(none, none)["jaccard"] == 0
    assert overlap(none, ~none)["share_of_smaller"] == 0


def test_clusters_agree_with_counting() -> None:
    rows = per_cluster(CLUSTER, FIRST, SECOND)
    assert [row["cluster"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        in_cluster = row["cluster"] == CLUSTER
        assert row["size"] == sum(in_cluster)
        assert row["kept_both"] == sum(in_cluster & FIRST & SECOND)
        assert row["share_first"] == pytest.approx(sum(in_cluster & FIRST) / sum(FIRST))
    assert sum(row["share_second"] for row in rows) == pytest.approx(1)


def test_lengths_fall_into_powers_of_two() -> None:
    tokens = np.array([0, 1, 7, 8, 15, 16])
    kept = np.array([1, 0, 1, 1, 0, 0], dtype=bool)
    rows = token_histogram(tokens, kept, ~kept)
    assert [(row["tokens_from"], row["tokens_to"], row["examples"]) for row in rows] == [
        (1, 1, 2), (2, 3, 0), (4, 7, 1), (8, 15, 2), (16, 31, 1),
    ]  # fmt: skip
    assert [row["kept_first"] for row in rows] == [1, 0, 1, 1, 0]
    assert [row["kept_second"] for row in rows] == [1, 0, 0, 1, 1]


def test_distributions_agree_with_scipy() -> None:
    values = RNG.normal(size=N)
    values[:5] = np.nan
    rows = signal_quantiles({"cds": values, "ifd": np.full(N, np.nan)}, FIRST, SECOND)
    assert [row["signal"] for row in rows] == ["cds"]
    known = np.isfinite(values)
    expected = stats.ks_2samp(values[known & FIRST], values[known & SECOND]).statistic
    assert rows[0]["distance"] == pytest.approx(expected)
    assert rows[0]["first_q50"] == pytest.approx(np.median(values[known & FIRST]))
