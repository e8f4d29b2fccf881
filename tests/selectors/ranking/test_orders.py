import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.selection import PassLoop, efficiency_loop

from curate.selectors.ranking.orders import best_first, efficiency, hashed_order, rank_within, round_robin, worst_share


def test_best_first_breaks_ties_by_position():
    assert best_first(np.array([1.0, 3.0, 1.0, 3.0])).tolist() == [1, 3, 0, 2]


@given(st.sets(st.text(max_size=8), min_size=1, max_size=30), st.data())
def test_the_order_of_two_rows_is_that_of_every_set_that_holds_both(names, data):
    names = data.draw(st.permutations(sorted(names)))
    some = [name for name in names if data.draw(st.booleans())]

    def ordered(rows):
        ids = np.array(rows, dtype=object)
        return [rows[i] for i in hashed_order(ids, np.random.default_rng(7))]

    assert ordered(some) == [name for name in ordered(names) if name in some]
    assert ordered(names) == sorted(names, key=lambda name: keyed_digest(name))


def keyed_digest(name):
    key = np.random.default_rng(7).bytes(16)
    return hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()


@given(st.lists(st.tuples(st.floats(0, 0.7), st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=20))
def test_efficiency_agrees_with_the_formula(rows):
    cds, n_prompt, n_response = (np.array(column) for column in zip(*rows, strict=True))
    expected = [efficiency_loop(*row) for row in rows]
    np.testing.assert_allclose(efficiency(cds, n_prompt, n_response), expected, rtol=1e-13)


def test_efficiency_of_one_token_is_finite_and_falls_with_length():
    cds = np.full(4, 0.5)
    result = efficiency(cds, np.array([0, 1, 10, 100]), np.array([1, 1, 10, 100]))
    assert result[0] == 0.5
    assert (np.diff(result) < 0).sum() == 3


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.1, 0.2, 0.3])), min_size=1, max_size=40))
def test_round_robin_agrees_with_the_reference_rounds(rows):
    stratum, score = np.array([k for k, _ in rows]), np.array([s for _, s in rows])
    offered = PassLoop(score, stratum, [1] * len(rows), None, {k: 99 for k in set(stratum.tolist())}, 0.0)
    offered.concepts = [set()] * len(rows)
    offered.offer_in_rounds(range(len(rows)), check=False)
    assert round_robin(stratum, score).tolist() == offered.order


def test_rank_within_counts_from_zero_in_each_stratum():
    assert rank_within(np.array([1, 0, 1, 1]), np.array([0.1, 0.5, 0.9, 0.1])).tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize(("share", "dropped"), [(0.0, 0), (0.3, 3), (0.34, 3), (0.99, 9)])
def test_worst_share_drops_whole_rows(share, dropped):
    badness = np.arange(10.0)[::-1].copy()
    mask = worst_share(badness, share)
    assert mask.tolist() == [i < dropped for i in range(10)]


def test_worst_share_is_exact_for_decimal_fractions():
    assert worst_share(np.arange(100.0), 0.29).sum() == 29


def test_worst_share_keeps_the_earlier_of_equals():
    assert worst_share(np.zeros(4), 0.5).tolist() == [False, False, True, True]
