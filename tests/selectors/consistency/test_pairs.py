"""Pairs of concepts in arrays agree with sets, and the screen finds certain refusals only."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.concept_rows import lists_of
from references.pools import make_pool
from references.selection import GraphLoop

from curate.selectors.consistency.graph import concept_lists
from curate.selectors.consistency.pairs import Screen, check_refused, pairs_of

ROWS = st.lists(st.sets(st.integers(0, 9), max_size=6), min_size=1, max_size=25)


@pytest.mark.parametrize("expectation", [0.0, 1.0, 3.0])
@given(rows=ROWS, n_accepted=st.integers(1, 25))
def test_check_refused_agrees_with_recounting(expectation, rows, n_accepted):
    accepted, others = np.arange(min(n_accepted, len(rows))), np.arange(min(n_accepted, len(rows)), len(rows))
    loop = GraphLoop(expectation)
    loop.accepted = [(place, rows[place]) for place in accepted.tolist()]
    known = {c for _, row in loop.accepted for c in row}
    others = np.array([place for place in others.tolist() if rows[place] & known], dtype=np.int64)
    # The lists keep rare concepts out, which may hide a shared concept but never a conflict.
    verdict = check_refused(lists_of(rows, 0.0), accepted, others, expectation)
    lean = check_refused(lists_of(rows, expectation), accepted, others, expectation) if expectation == 0.0 else None
    for i, place in enumerate(others.tolist()):
        assert verdict.conflicts[i] == len(loop.conflicts(rows[place]))
        assert rows[verdict.rival[i]] & rows[place]
        if loop.conflicts(rows[place]) or lean is not None:
            assert verdict.rival[i] == loop.rival(rows[place])


@given(rows=ROWS)
def test_pairs_are_those_of_itertools(rows):
    lists = lists_of(rows)
    pairs = pairs_of(lists, np.arange(len(rows)))
    got = list(zip(pairs.row.tolist(), pairs.a.tolist(), pairs.b.tolist(), strict=True))
    expected = [(i, a, b) for i, row in enumerate(lists.of(np.arange(len(rows)))) for a, b in combinations(row, 2)]
    assert got == expected
    n_all = [len(row) * (len(row) - 1) // 2 for row in rows]
    assert lists.n_pairs.tolist() == n_all


def test_screen_finds_most_refusals():
    pool = make_pool(3000, seed=2, ineligible=0.0)
    lists = concept_lists(pool.concepts[0], pool.concepts[1], np.arange(3000), 0.0)
    screen = Screen(lists.n_concepts, 0.0)
    screen.learn(lists, np.arange(1000))
    later = np.arange(1000, 3000)
    refused = check_refused(lists, np.arange(1000), later, 0.0).conflicts > 0
    sure = screen.refuses(lists, later)
    assert not (sure & ~refused).any()
    assert sure.sum() > 0.9 * refused.sum()
