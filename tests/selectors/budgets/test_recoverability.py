from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_valid_selection
from hypothesis import given, settings
from hypothesis import strategies as st
from references.gain_curves import split_row_by_row, split_slowly
from references.pools import make_pool

from curate.schemas.errors import InputError, UsageError
from curate.selectors.budgets.recoverability import allocate_by_gain, marginal_fill
from curate.selectors.registry import selector


def gain_of(worth, tau, budget):
    return float((worth * -np.expm1(-budget / tau)).sum())


def drawn(seed, k=6, most=80):
    rng = np.random.default_rng(seed)
    worth, tau = rng.gamma(1.0, 0.1, k), rng.uniform(3.0, 90.0, k)
    upper = rng.integers(1, most, k)
    lower = np.where(rng.random(k) < 0.3, upper // 3, 0)
    return worth, tau, lower, upper, int(rng.integers(lower.sum(), upper.sum() + 1))


def with_curves(pool, seed=0, zero=()):
    """Give every row of a pool the curve of its cluster."""
    rng = np.random.default_rng(seed)
    k = int(pool.cluster.max()) + 1
    ceiling, tau = rng.gamma(2.0, 0.1, k), rng.uniform(3.0, 60.0, k)
    ceiling[list(zero)] = 0.0
    curves = {"gain_ceiling": ceiling[pool.cluster], "gain_tau": tau[pool.cluster]}
    return replace(pool, signals={**pool.signals, **curves})


def run(pool, budget, in_tokens=False, method="paser", **options):
    entry = selector(method)
    how = entry.settings(allocation="recoverability", **options)
    return entry.select(pool, budget, in_tokens, how, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(30))
def test_the_budgets_are_those_of_a_general_solver(seed):
    worth, tau, lower, upper, total = drawn(seed)
    ours = marginal_fill(worth, tau, lower, upper, total)
    theirs = split_slowly(worth, tau, lower, upper, total)
    assert ours.sum() == pytest.approx(total, abs=1e-9)
    assert (ours >= lower).all()
    assert (ours <= upper).all()
    # The solver stops a little short of the optimum; it must never find more than the closed form.
    best = gain_of(worth, tau, ours)
    assert gain_of(worth, tau, theirs) <= best + 1e-9
    assert gain_of(worth, tau, theirs) == pytest.approx(best, abs=1e-6)
    np.testing.assert_allclose(ours, theirs, atol=0.5)


@pytest.mark.parametrize("seed", range(30))
def test_marginal_gains_are_equal_where_no_bound_holds(seed):
    worth, tau, lower, upper, total = drawn(seed, k=12)
    share = marginal_fill(worth, tau, lower, upper, total)
    margin = worth / tau * np.exp(-share / tau)
    free = (share > lower + 1e-9) & (share < upper - 1e-9)
    if free.any():
        level = margin[free].mean()
        np.testing.assert_allclose(margin[free], level, rtol=1e-9)
        assert (margin[share <= lower + 1e-9] <= level * (1 + 1e-9)).all() or (lower == upper).any()


@pytest.mark.parametrize("seed", range(30))
def test_rounded_budgets_are_close_to_the_greedy_optimum(seed):
    worth, tau, lower, upper, total = drawn(seed)
    ours = allocate_by_gain(np.ones_like(worth), worth, tau, lower, upper, total)
    exact = split_row_by_row(worth, tau, lower, upper, total)
    assert ours.sum() == exact.sum() == total
    assert np.abs(ours - exact).max() <= 1
    assert gain_of(worth, tau, ours) >= gain_of(worth, tau, exact) - 1e-3


@st.composite
def wild(draw):
    k = draw(st.integers(1, 8))
    upper = draw(st.lists(st.integers(0, 60), min_size=k, max_size=k))
    lower = [draw(st.integers(0, min(up, draw(st.sampled_from([0, 0, up]))))) for up in upper]
    ceiling = draw(st.lists(st.sampled_from([0.0, 0.0, np.nan, 1e-12, 0.1, 0.1, 3.0]), min_size=k, max_size=k))
    tau = draw(st.lists(st.sampled_from([0.5, 7.0, 7.0, 40.0, 1e5]), min_size=k, max_size=k))
    total = draw(st.integers(sum(lower), sum(upper) + 5))
    return np.array(ceiling), np.array(tau), np.array(lower), np.array(upper), total


@given(wild())
def test_bounds_hold_and_the_budget_is_spent(case):
    ceiling, tau, lower, upper, total = case
    got = allocate_by_gain(np.full(len(tau), 1 / len(tau)), ceiling, tau, lower, upper, total)
    assert got.sum() == min(total, upper.sum())
    assert (lower <= got).all()
    assert (got <= upper).all()


@given(wild())
def test_budgets_are_monotone_in_the_total(case):
    ceiling, tau, lower, upper, total = case
    gaining = np.nan_to_num(ceiling) > 0
    if not gaining.any():
        return
    ceiling, tau, lower, upper = ceiling[gaining], tau[gaining], lower[gaining], upper[gaining]
    remaining = int(upper.sum())
    small, large = min(total, remaining), min(total + 7, remaining)
    if small < lower.sum():
        return
    before, after = (marginal_fill(ceiling, tau, lower, upper, budget) for budget in (small, large))
    assert (after >= before - 1e-9).all()


def test_clusters_without_gain_get_nothing_until_the_others_are_full():
    weight, tau, lower = np.full(3, 1 / 3), np.array([10.0, 10.0, 10.0]), np.zeros(3, int)
    ceiling, upper = np.array([0.4, 0.0, 0.4]), np.array([30, 60, 30])
    assert allocate_by_gain(weight, ceiling, tau, lower, upper, 40).tolist() == [20, 0, 20]
    assert allocate_by_gain(weight, ceiling, tau, lower, upper, 70).tolist() == [30, 10, 30]
    assert allocate_by_gain(weight, np.zeros(3), tau, lower, upper, 60).tolist() == [15, 30, 15]


def test_saturated_clusters_get_no_more_rows():
    # Both ceilings are the same; one is reached after a few rows.
    lower, upper = bounds(500, 500)
    got = allocate_by_gain(np.full(2, 0.5), np.array([0.3, 0.3]), np.array([3.0, 40.0]), lower, upper, 100)
    assert got[0] < 20
    assert got.sum() == 100


def bounds(*upper):
    return np.zeros(len(upper), int), np.array(upper)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(5, 120), st.integers(0, 10**6), st.booleans(), st.integers(0, 3), st.sampled_from(["paser", "donod"])
)
def test_a_selection_by_recoverability_is_valid(n, seed, in_tokens, n_pins, method):
    pool = with_curves(make_pool(n, seed, n_clusters=4), seed, zero=[seed % 2])
    pool = replace(pool, pinned=np.arange(n) < n_pins)
    cost = pool.n_prompt_tokens + pool.n_response_tokens if in_tokens else np.ones(n, int)
    budget = max(int(cost.sum()) // 4, 1)
    options = {"stratify": "clusters"} if method == "donod" else {}
    if cost[pool.pinned & pool.eligible].sum() > budget:
        with pytest.raises(UsageError, match="--pin"):
            run(pool, budget, in_tokens, method, **options)
        return
    chosen = run(pool, budget, in_tokens, method, **options)
    assert_valid_selection(chosen, pool, budget, in_tokens)
    for row in chosen.allocation:
        assert row["ceiling"] is None or row["ceiling"] >= 0


def test_token_budgets_scale_curves_by_the_cost_of_rows():
    """Rows of cluster 0 cost ten times as much: the same curve in rows buys it ten times the tokens' reach."""
    n = 400
    pool = make_pool(n, 0, n_clusters=2, ineligible=0.0)
    cluster = (np.arange(n) % 2).astype(np.int32)
    tokens = np.where(cluster == 0, 90, 9)
    curves = {"gain_ceiling": np.full(n, 0.3), "gain_tau": np.full(n, 20.0)}
    pool = replace(
        pool, cluster=cluster, n_prompt_tokens=tokens, n_response_tokens=np.where(cluster == 0, 10, 1),
        signals={**pool.signals, **curves},
    )  # fmt: skip
    rows = {row["cluster"]: row for row in run(pool, 60, consistency="off").allocation}
    assert rows[0]["budget"] == rows[1]["budget"] == 30
    paid = {row["cluster"]: row["budget"] for row in run(pool, 3000, True, consistency="off").allocation}
    lower, upper = bounds(20_000, 2_000)
    expected = split_slowly(np.full(2, 0.15), 20.0 * np.array([100.0, 10.0]), lower, upper, 3000)
    np.testing.assert_allclose([paid[0], paid[1]], expected, atol=1.0)


def test_no_gain_anywhere_is_a_warning():
    chosen = run(with_curves(make_pool(60, 1, n_clusters=3), zero=[0, 1, 2]), 10)
    assert "no cluster gained by its pilots" in chosen.warnings[0]


def test_without_pilots_the_error_names_them():
    with pytest.raises(InputError, match="--allocation recoverability needs pilots"):
        run(make_pool(60, 1), 10)
