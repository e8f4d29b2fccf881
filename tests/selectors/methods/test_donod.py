from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_valid_selection
from references.budgets import allocate_loop
from references.pools import make_pool
from references.selection import closeness_loop

from curate.schemas.errors import UsageError
from curate.selectors.methods.donod import DonodSettings, select


def run(pool, budget, in_tokens=False, **settings):
    selection = select(pool, budget, in_tokens, DonodSettings(**settings), np.random.default_rng(0))
    assert_valid_selection(selection, pool, budget, in_tokens)
    return selection


def by_closeness(pool, rows, direction=1.0):
    rows = sorted(rows, key=lambda i: pool.example_id[i])
    score = closeness_loop(direction * pool.signals["don"][rows], pool.signals["nod"][rows])
    return [row for _, row in sorted(zip(score, rows, strict=True), key=lambda pair: -pair[0])]


def test_keeps_the_closest_rows_best_first():
    pool = make_pool(200)
    selection = run(pool, 30)
    assert selection.order.tolist() == by_closeness(pool, np.flatnonzero(pool.eligible))[:30]
    assert np.nanmax(selection.score) == selection.score[selection.order[0]]


def test_the_literal_sign_prefers_the_opposite_don():
    pool = make_pool(200)
    selection = run(pool, 30, don_direction="literal")
    assert selection.order.tolist() == by_closeness(pool, np.flatnonzero(pool.eligible), -1.0)[:30]


def test_weight_of_one_ranks_by_don_alone():
    pool = make_pool(100, ineligible=0.0)
    selection = run(pool, 10, don_weight=1.0)
    assert selection.order.tolist() == np.argsort(-pool.signals["don"], kind="stable")[:10].tolist()


@pytest.mark.parametrize("allocation", ["degradation", "proportional"])
def test_clusters_have_their_own_ranking_and_budget(allocation):
    pool = make_pool(300, n_clusters=5)
    selection = run(pool, 60, stratify="clusters", allocation=allocation)
    members = {k: np.flatnonzero(pool.eligible & (pool.cluster == k)) for k in np.unique(pool.cluster).tolist()}
    ordered = sorted(members, key=lambda k: min(pool.example_id[members[k]]))
    sizes = [len(members[k]) for k in ordered]
    weight = [pool.signals["cds"][members[k]].mean() for k in ordered] if allocation == "degradation" else sizes
    quota = allocate_loop(weight, [0] * len(sizes), sizes, 60)
    for k, n in zip(ordered, quota, strict=True):
        assert sorted(i for i in selection.order if pool.cluster[i] == k) == sorted(by_closeness(pool, members[k])[:n])
    assert [row["budget"] for row in selection.allocation] == [quota[ordered.index(k)] for k in sorted(ordered)]


def test_warns_when_outliers_dominate():
    pool = make_pool(1000, ineligible=0.0)
    assert not run(pool, 100).warnings
    don = pool.signals["don"].copy()
    don[7] = 1.0
    selection = run(replace(pool, signals={**pool.signals, "don": don}), 100)
    assert selection.facts["winsor_overlap"] < 0.8
    assert "--normalise winsor" in selection.warnings[0]


def test_rows_without_a_finite_signal_are_named_and_never_ranked():
    pool = make_pool(50, ineligible=0.0)
    nod = pool.signals["nod"].copy()
    nod[[3, 4]] = np.inf, np.nan
    selection = run(replace(pool, signals={**pool.signals, "nod": nod}), 50)
    assert selection.reason[3] == selection.reason[4] == "filtered:non_finite:nod"
    assert len(selection.order) == 48
    assert "2 rows short" in selection.warnings[0]


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"don_weight": 1.5}, "--don-weight"),
        ({"don_weight": float("nan")}, "--don-weight"),
        ({"normalise": "vectr"}, "--normalise"),
        ({"don_direction": "up"}, "--don-direction"),
        ({"stratify": "cluster"}, "--stratify"),
        ({"allocation": "uniform"}, "--allocation"),
    ],
)
def test_bad_settings_name_the_flag(settings, flag):
    with pytest.raises(UsageError, match=flag):
        DonodSettings(**settings)
