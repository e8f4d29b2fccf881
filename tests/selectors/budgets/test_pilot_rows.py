from dataclasses import replace

import numpy as np
import pytest
from references.pools import make_pool, shuffled

from curate.selectors.budgets.pilot_rows import HELDOUT, LARGEST, LEAST, draw_pilots, pilot_sizes


@pytest.mark.parametrize(
    ("usable", "sizes"),
    [(0, ()), (LEAST - 1, ()), (LEAST, (2, 6, 18)), (100, (5, 16, 50)), (192, (10, 32, 96)), (10**6, (10, 32, 96))],
)
def test_the_sizes_of_pilots(usable, sizes):
    assert pilot_sizes(usable) == sizes


def test_rows_to_measure_on_are_likely_and_never_trained_on():
    pool = make_pool(2000, 3, n_clusters=6)
    drawn, usable = draw_pilots(pool, 0)
    assert sum(usable.values()) == pool.eligible.sum()
    assert {one.cluster for one in drawn} == {number for number, count in usable.items() if count >= LEAST}
    nll = pool.signals["nll_original"]
    for one in drawn:
        members = np.flatnonzero((pool.cluster == one.cluster) & pool.eligible)
        assert len(one.rows) == one.sizes[-1] <= LARGEST
        assert len(one.heldout) <= HELDOUT
        assert not set(one.rows.tolist()) & set(one.heldout.tolist())
        assert {*one.rows.tolist(), *one.heldout.tolist()} <= set(members.tolist())
        rank = np.argsort(np.argsort(nll[members], kind="stable"))[np.searchsorted(members, one.heldout)]
        assert rank.max() < len(members) - int(0.3 * len(members))
    # Pilots train on what a selection would: unlikely rows are among theirs.
    largest = max(drawn, key=lambda one: usable[one.cluster])
    members = np.flatnonzero((pool.cluster == largest.cluster) & pool.eligible)
    assert (nll[largest.rows] > np.quantile(nll[members], 0.7)).any()


def test_small_clusters_and_rows_without_a_signal_have_no_pilots():
    pool = make_pool(300, 1, n_clusters=3, ineligible=0.0)
    cluster = np.where(np.arange(300) < LEAST - 1, 0, 1).astype(np.int32)
    nll = np.where(np.arange(300) % 2 == 0, pool.signals["nll_original"], np.nan)
    drawn, usable = draw_pilots(replace(pool, cluster=cluster, signals={"nll_original": nll}), 0)
    assert [one.cluster for one in drawn] == [1]
    assert usable == {0: 18, 1: 132}
    assert all(np.isfinite(nll[np.concatenate([one.rows, one.heldout])]).all() for one in drawn)


def test_the_order_of_the_corpus_does_not_matter_and_the_seed_does():
    pool = make_pool(600, 2, n_clusters=3)
    other, _ = shuffled(pool, 5)

    def ids(where, seed):
        return [
            (one.cluster, where.example_id[one.rows].tolist(), where.example_id[one.heldout].tolist())
            for one in draw_pilots(where, seed)[0]
        ]

    assert ids(pool, 1) == ids(other, 1)
    assert ids(pool, 1) != ids(pool, 2)
