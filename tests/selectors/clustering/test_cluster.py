from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.blobs import blobs
from references.clustering import (
    affinity_loop,
    factorise_loop,
    neighbours_loop,
    operator_dense,
    same_partition,
)
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from curate.schemas.errors import InputError, UsageError
from curate.selectors.clustering.assignment import assign
from curate.selectors.clustering.cluster import Clustering, ClusteringSettings, cluster
from curate.selectors.clustering.nmf import spectral_start, start_matrix
from curate.selectors.neighbours.exact import unit_rows

SIX = ClusteringSettings(n_clusters=6)


def assert_valid(result: Clustering, n: int) -> None:
    """Assert what holds for every result: shapes, types, ranges, and labels by size without gaps."""
    assert result.labels.shape == result.membership.shape == (n,)
    assert result.labels.dtype == np.int32
    assert result.membership.dtype == result.coordinates.dtype == np.float32
    assert result.coordinates.shape == (n, 2)
    assert np.isfinite(result.coordinates).all()
    assert (result.membership > 0).all()
    assert (result.membership <= 1).all()
    sizes = np.bincount(result.labels)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert result.facts["n_clusters"] == len(sizes)


def test_agrees_with_the_dense_recipe() -> None:
    rows, _ = blobs(300, 6, noise=0.3)
    result = cluster(rows, SIX, seed=0)
    # A tenth of the rows, since four times 15 would be more; in one piece, so that no links are added.
    lists = neighbours_loop(rows, 30)
    assert result.facts["n_pieces"] == 1
    indices = np.array([[j for _, j in row] for row in lists], np.int32)
    distances = np.array([[d for d, _ in row] for row in lists], np.float32)
    s, _ = operator_dense(affinity_loop(indices, distances))
    vectors = np.linalg.eigh(s)[1][:, ::-1][:, :6]
    start = start_matrix(sparse.csr_array(s), spectral_start(vectors, 6, seed=0), 6)
    factor = factorise_loop(s, start, result.facts["factor_steps"])
    assert same_partition(result.labels, factor.argmax(axis=1).tolist())
    np.testing.assert_allclose(result.membership, factor.max(axis=1) / factor.sum(axis=1), atol=1e-3)


def test_recovers_groups_and_their_number() -> None:
    rows, group = blobs(210, 7)
    result = cluster(rows, ClusteringSettings(), seed=0)
    assert_valid(result, 210)
    assert result.facts["n_clusters"] == 7
    assert same_partition(result.labels, group)
    assert [point.k for point in result.curve][:3] == [2, 3, 4]


def test_the_single_bandwidth_of_the_paper_recovers_groups_too() -> None:
    rows, group = blobs(300, 6)
    result = cluster(rows, replace(SIX, bandwidth="median"), seed=0)
    assert adjusted_rand_score(group, result.labels) > 0.95
    assert result.curve == ()


def test_order_of_rows_does_not_matter() -> None:
    rows, _ = blobs(400, 6, noise=0.25)
    order = np.random.default_rng(3).permutation(400)
    plain, shuffled = cluster(rows, SIX, seed=0), cluster(rows[order], SIX, seed=0)
    assert adjusted_rand_score(plain.labels[order], shuffled.labels) > 0.97


def test_same_seed_same_bits_whatever_the_threads_of_the_search() -> None:
    rows, _ = blobs(320, 6, noise=0.3)
    first, again = (cluster(rows, ClusteringSettings(), seed=11, threads=threads) for threads in (1, 2))
    assert first.facts["eigensolver"] == "arpack"
    for name in ("labels", "membership", "coordinates"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert (first.curve, first.facts) == (again.curve, again.facts)


def test_copies_of_a_row_change_nothing() -> None:
    rows, _ = blobs(200, 4, noise=0.25)
    plain = cluster(rows, ClusteringSettings(n_clusters=4), seed=0)
    crowded = cluster(np.vstack([rows, np.tile(rows[7], (1000, 1))]), ClusteringSettings(n_clusters=4), seed=0)
    assert_valid(crowded, 1200)
    assert same_partition(plain.labels, crowded.labels[:200])
    assert (crowded.labels[200:] == crowded.labels[7]).all()
    assert (crowded.coordinates[200:] == crowded.coordinates[7]).all()
    assert crowded.facts["n_distinct"] == 200


def test_groups_of_near_copies_do_not_become_clusters() -> None:
    rows, group = blobs(400, 4, noise=0.16)
    noise = 1e-5 * np.random.default_rng(0).standard_normal((5, 20, 24))
    clumps = (rows[:5, None] + noise).reshape(100, 24).astype(np.float32)
    result = cluster(np.vstack([rows, clumps]), ClusteringSettings(n_clusters=4), seed=0)
    assert adjusted_rand_score(result.labels, np.concatenate([group, np.repeat(group[:5], 20)])) > 0.95
    assert result.facts["n_pieces"] > 1


@pytest.mark.parametrize("n_clusters", [None, 1, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 17])
def test_few_rows(n: int, n_clusters: int | None) -> None:
    rows = np.random.default_rng(n).standard_normal((n, 5)).astype(np.float32)
    result = cluster(rows, ClusteringSettings(n_clusters=n_clusters), seed=0)
    assert_valid(result, n)
    assert result.facts["n_clusters"] <= (n_clusters or n)


@pytest.mark.parametrize("n_clusters", [None, 5])
def test_identical_rows_are_one_cluster(n_clusters: int | None) -> None:
    result = cluster(np.ones((500, 8), np.float32), ClusteringSettings(n_clusters=n_clusters), seed=0)
    assert_valid(result, 500)
    assert result.facts["n_clusters"] == 1
    assert (result.membership == 1).all()


def test_zero_rows_share_a_label() -> None:
    rows, group = blobs(100, 3)
    rows[[5, 50, 70]] = 0
    rows[50] = -0.0
    result = cluster(rows, ClusteringSettings(n_clusters=3), seed=0)
    assert_valid(result, 100)
    assert len(set(result.labels[[5, 50, 70]])) == 1
    rest = np.delete(np.arange(100), [5, 50, 70])
    assert same_partition(result.labels[rest], group[rest])


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 40), distinct=st.integers(1, 40), k=st.integers(1, 20), clusters=st.integers(1, 50))
def test_any_small_input_gives_a_valid_result(n: int, distinct: int, k: int, clusters: int) -> None:
    rng = np.random.default_rng(n * 41 + distinct)
    rows = rng.integers(-1, 2, (distinct, 4))[rng.integers(0, distinct, n)].astype(np.float32)
    result = cluster(rows, ClusteringSettings(n_neighbours=k, n_clusters=clusters), seed=0)
    assert_valid(result, n)
    assert result.facts["n_clusters"] <= min(n, clusters)


def test_beyond_the_limit_rows_are_assigned_to_landmarks() -> None:
    rows, group = blobs(1200, 6)
    result = cluster(rows, replace(SIX, exact_limit=1000, landmarks=300), seed=0)
    assert_valid(result, 1200)
    assert same_partition(result.labels[:300], group[:300])
    assert result.facts["n_assigned"] == 900
    assert result.facts["far_share"] < 0.1
    exact = cluster(rows, SIX, seed=0)
    assert exact.facts["n_assigned"] == 0
    assert adjusted_rand_score(exact.labels, result.labels) > 0.99


def test_the_number_is_chosen_on_a_sample() -> None:
    rows, group = blobs(500, 5)
    result = cluster(rows, ClusteringSettings(search_rows=120), seed=0)
    assert result.facts["n_clusters"] == 5
    assert adjusted_rand_score(group, result.labels) > 0.99


def test_errors_name_the_bad_row() -> None:
    rows, _ = blobs(30, 2)
    rows[12, 3] = np.nan
    with pytest.raises(InputError, match="row 12"):
        cluster(rows, SIX, seed=0)
    with pytest.raises(InputError, match="no row"):
        cluster(np.empty((0, 8), np.float32), SIX, seed=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_neighbours", 0), ("n_clusters", 0), ("t", -1.0), ("t", float("nan")), ("landmarks", 0), ("bandwidth", "wide")],
)
def test_invalid_settings_are_errors(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        ClusteringSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.realdata
def test_source_code_and_many_scripts_cluster_by_their_words(shared: Path) -> None:
    """Real prompts of two corpora are separated even with hashed words as embeddings."""
    import polars as pl
    from sklearn.feature_extraction.text import HashingVectorizer

    names = ("codealpaca", "boolq_train")
    texts = [t for name in names for t in pl.read_parquet(shared / "corpora" / f"{name}.parquet")["instruction"][:300]]
    rows = HashingVectorizer(n_features=256, norm="l2").transform(texts).toarray().astype(np.float32)
    result = cluster(rows, ClusteringSettings(n_clusters=2), seed=0)
    assert adjusted_rand_score(np.repeat([0, 1], 300), result.labels) > 0.9


def test_landmarks_give_every_row_that_was_clustered_its_label() -> None:
    rows, _ = blobs(300, 6, noise=0.25)
    result = cluster(np.vstack([rows, rows[:50]]), SIX, seed=0)
    assert result.landmark_places.tolist() == list(range(300))
    assert result.landmarks.shares.shape == (300, result.facts["n_clusters"])
    np.testing.assert_allclose(result.landmarks.shares.sum(axis=1), 1)
    assert np.array_equal(result.landmarks.shares.argmax(axis=1), result.labels[:300])


@pytest.mark.slow
def test_beyond_the_limit_the_compressed_search_agrees_with_the_exact_one() -> None:
    rows, _ = blobs(12_000, 40, width=48, noise=0.15)
    few = ClusteringSettings(n_clusters=20, exact_limit=6_000, landmarks=6_000)
    result = cluster(rows, few, seed=0)
    assert 0.98 < result.facts["neighbour_recall"] < 1.001
    assert result.facts["n_assigned"] == 6_000
    exact = assign(unit_rows(rows), result.landmarks, 15)
    others = np.setdiff1d(np.arange(12_000), result.landmark_places)
    assert (exact.labels[others] == result.labels[others]).mean() > 0.99


@pytest.mark.slow
def test_a_hundred_thousand_copies_of_one_row() -> None:
    rows, group = blobs(200, 4)
    result = cluster(np.vstack([rows, np.tile(rows[3], (100_000, 1))]), ClusteringSettings(n_clusters=4), seed=0)
    assert_valid(result, 100_200)
    assert result.facts["n_distinct"] == 200
    assert same_partition(result.labels[:200], group)
