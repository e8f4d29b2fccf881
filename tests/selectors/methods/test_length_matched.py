from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_valid_selection
from references.pools import make_pool

from curate.schemas.errors import UsageError
from curate.selectors.methods.length_matched import LengthMatchedSettings, select


def run(pool, budget, in_tokens=False, seed=0, **settings):
    selection = select(pool, budget, in_tokens, LengthMatchedSettings(**settings), np.random.default_rng(seed))
    assert_valid_selection(selection, pool, budget, in_tokens)
    return selection


def marked(pool, kept):
    return replace(pool, signals={**pool.signals, "reference": kept.astype(float)})


def lengths(pool):
    return pool.n_prompt_tokens + pool.n_response_tokens


def test_the_histogram_matches_the_other_selection():
    pool = make_pool(2000)
    longest = np.argsort(-lengths(pool) * pool.eligible)[:300]
    kept = np.isin(np.arange(2000), np.random.default_rng(1).choice(longest, 150, replace=False))
    selection = run(marked(pool, kept), 150)
    got = np.bincount(lengths(pool)[selection.order] // 16, minlength=50)
    assert np.array_equal(got, np.bincount(lengths(pool)[kept] // 16, minlength=50))
    assert 0 < kept[selection.order].sum() < 150, "a draw, not the selection itself"


def test_another_budget_scales_the_histogram():
    pool = make_pool(2000, ineligible=0.0)
    kept = lengths(pool) < 96
    got = lengths(pool)[run(marked(pool, kept), kept.sum() // 2, bin_tokens=8).order]
    assert (got < 96).all()
    expected = np.bincount(lengths(pool)[kept] // 8) / 2
    np.testing.assert_allclose(np.bincount(got // 8, minlength=len(expected)), expected, atol=1)


def test_token_budgets_share_tokens():
    pool = make_pool(2000, ineligible=0.0)
    kept = np.arange(2000) < 400
    budget = int(lengths(pool)[kept].sum())
    got = run(marked(pool, kept), budget, in_tokens=True).order
    assert abs(lengths(pool)[got].mean() - lengths(pool)[kept].mean()) < 8


def test_budget_of_exhausted_bins_goes_to_others():
    pool = make_pool(200, ineligible=0.0)
    kept = np.arange(200) == int(np.argmax(lengths(pool)))
    assert len(run(marked(pool, kept), 60).order) == 60


def test_needs_a_selection():
    with pytest.raises(UsageError, match="--like"):
        run(make_pool(20), 5)
    with pytest.raises(UsageError, match="--like"):
        run(marked(make_pool(20), np.zeros(20)), 5)
    with pytest.raises(UsageError, match="--bin-tokens"):
        LengthMatchedSettings(bin_tokens=0)
