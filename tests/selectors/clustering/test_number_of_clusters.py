from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from references.blobs import blobs
from scipy import sparse

from curate.selectors.clustering.graph import build_graph
from curate.selectors.clustering.modularity import ModularityPoint
from curate.selectors.clustering.number_of_clusters import GRID, SILHOUETTE_WEIGHT, beside, choose_n_clusters
from curate.selectors.neighbours.exact import unit_rows

Chosen = tuple[int, tuple[ModularityPoint, ...]]


def choose(rows: NDArray[np.floating[Any]], seed: int = 0) -> Chosen:
    unit = unit_rows(rows)
    return choose_n_clusters(build_graph(unit, 10).affinity, unit, seed)


@pytest.mark.parametrize("groups", [2, 5, 7])
def test_chooses_the_planted_number(groups: int) -> None:
    chosen, curve = choose(blobs(30 * groups, groups, noise=0.06)[0])
    assert chosen == groups
    point = next(point for point in curve if point.k == groups)
    assert point.stability > 0.95
    assert 0.5 < point.modularity / (1 - 1 / groups) < 1.1
    assert point.silhouette > 0.5


def test_topics_of_several_themes_are_one_cluster_each() -> None:
    rng = np.random.default_rng(0)
    topic = np.repeat(np.arange(6), 5)
    themes = rng.standard_normal((6, 96))[topic] + 0.8 * rng.standard_normal((30, 96))
    rows = np.repeat(themes, 16, axis=0) + rng.standard_normal((480, 96))
    assert choose(rows.astype(np.float32))[0] == 6


def test_the_curve_is_complete_and_the_sum_of_its_scores_decides() -> None:
    chosen, curve = choose(blobs(210, 5, noise=0.2)[0])
    tried = [point.k for point in curve]
    assert tried == sorted({*GRID} | set(tried))
    assert set(range(2, 17)) <= set(tried)
    assert chosen == max(curve, key=lambda point: (point.modularity + SILHOUETTE_WEIGHT * point.silhouette, -point.k)).k
    assert all(point.modularity_std >= 0 and -1 <= point.stability <= 1 for point in curve)


@pytest.mark.parametrize("best", [2, 7, 17, 27, 33, 40])
def test_no_number_beside_the_best_one_is_skipped(best: int) -> None:
    tried = set(GRID) | {best}
    while untried := beside(best, sorted(tried)):
        assert not tried & {*untried}
        tried |= {*untried}
    assert {max(best - 1, 2), min(best + 1, 40)} <= tried


def test_same_seed_same_curve() -> None:
    rows = blobs(100, 4, noise=0.3)[0]
    assert choose(rows, 5) == choose(rows, 5)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_too_few_rows_are_one_cluster(n: int) -> None:
    complete = sparse.csr_array(np.ones((n, n)) - np.eye(n))
    assert choose_n_clusters(complete, np.eye(n, dtype=np.float32), seed=0) == (1, ())


def test_a_graph_without_structure_is_one_cluster() -> None:
    complete = sparse.csr_array(np.ones((40, 40)) - np.eye(40))
    chosen, curve = choose_n_clusters(complete, np.eye(40, dtype=np.float32), seed=0)
    assert chosen == 1
    assert all(point.modularity < 0.15 for point in curve)


def test_normal_rows_are_one_cluster() -> None:
    assert choose(np.random.default_rng(0).standard_normal((150, 64)).astype(np.float32))[0] == 1
