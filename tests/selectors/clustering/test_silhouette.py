import numpy as np
import pytest
from references.blobs import blobs
from references.clustering import silhouette_loop

from curate.selectors.clustering.silhouette import silhouette
from curate.selectors.neighbours.exact import unit_rows


@pytest.mark.parametrize(("n", "groups"), [(60, 2), (90, 5), (40, 40)])
def test_agrees_with_loops_over_all_distances(n: int, groups: int) -> None:
    rows = unit_rows(blobs(n, 5, noise=0.4)[0])
    labels = np.random.default_rng(0).permutation(np.arange(n) % groups).astype(np.int32)
    assert silhouette(rows, labels) == pytest.approx(silhouette_loop(rows, labels), abs=1e-6)


def test_rows_alone_in_their_cluster_count_as_zero() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 0, 0, 1]]
    assert silhouette(rows, np.array([0, 0, 0, 1], np.int32)) == pytest.approx(0.75)


def test_a_single_cluster_and_copies_have_none() -> None:
    rows = np.ones((6, 3), np.float32) / np.sqrt(np.float32(3))
    assert silhouette(rows, np.zeros(6, np.int32)) == 0
    assert silhouette(rows, np.array([0, 0, 0, 1, 1, 1], np.int32)) == pytest.approx(0, abs=1e-6)


def test_the_true_groups_are_better_than_half_of_them() -> None:
    rows, group = blobs(120, 6, noise=0.1)
    rows = unit_rows(rows)
    assert silhouette(rows, group.astype(np.int32)) > 0.5 > silhouette(rows, (group // 2).astype(np.int32))
