from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.pools import make_pool
from references.selection import GraphLoop

from curate.selectors.consistency import offers, pairs
from curate.selectors.consistency.graph import ConceptGraph, concept_lists
from curate.selectors.consistency.pairs import Screen, check_refused, pairs_of

ROWS = st.lists(st.sets(st.integers(0, 9), max_size=6), min_size=1, max_size=25)


def lists_of(rows, expectation=0.0):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    values = np.array([concept for row in rows for concept in sorted(row)], dtype=np.int32)
    return concept_lists(offsets, values, np.arange(len(rows)), expectation)


@pytest.mark.parametrize("expectation", [0.0, 0.5, 1.0, 3.0])
@given(rows=ROWS)
def test_graph_agrees_with_counting_everything_anew(expectation, rows):
    lists = lists_of(rows, expectation)
    graph, loop = ConceptGraph(lists.n_concepts, expectation), GraphLoop(expectation)
    for place, (row, concepts) in enumerate(zip(rows, lists.of(np.arange(len(rows))), strict=True)):
        expected = loop.conflicts(row)
        assert len(list(graph.conflicts(concepts))) == len(expected)
        assert graph.refuses(concepts) == bool(expected)
        if not expected:
            graph.accept(concepts)
            loop.accepted.append((place, row))


@pytest.mark.parametrize("expectation", [0.0, 1.0, 3.0])
@given(rows=ROWS, n_accepted=st.integers(1, 25))
def test_judge_agrees_with_counting_everything_anew(expectation, rows, n_accepted):
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


def test_leaving_out_rare_concepts_changes_no_verdict():
    pool = make_pool(400, seed=5, n_concepts=500)
    offsets, values = pool.concepts
    rows = [set(values[offsets[i] : offsets[i + 1]].tolist()) for i in range(400)]
    lists = concept_lists(offsets, values, np.arange(400), 3.0)
    assert lists.n_concepts < len(np.unique(values))
    graph, loop = ConceptGraph(lists.n_concepts, 3.0), GraphLoop(3.0)
    refused = 0
    for place, concepts in enumerate(lists.of(np.arange(400))):
        expected = loop.conflicts(rows[place])
        assert graph.refuses(concepts) == bool(expected)
        refused += bool(expected)
        if not expected:
            graph.accept(concepts)
            loop.accepted.append((place, rows[place]))
    assert refused > 0


@given(rows=ROWS)
def test_pairs_are_those_of_itertools(rows):
    lists = lists_of(rows)
    pairs = pairs_of(lists, np.arange(len(rows)))
    got = list(zip(pairs.row.tolist(), pairs.a.tolist(), pairs.b.tolist(), strict=True))
    expected = [(i, a, b) for i, row in enumerate(lists.of(np.arange(len(rows)))) for a, b in combinations(row, 2)]
    assert got == expected
    n_all = [len(row) * (len(row) - 1) // 2 for row in rows]
    assert lists.n_pairs.tolist() == n_all


@pytest.mark.parametrize("bits", [2, 25])
@pytest.mark.parametrize("expectation", [0.0, 0.7])
def test_screening_changes_no_outcome(monkeypatch, bits, expectation):
    # Two bits make nearly every flag a false alarm; the graph must then decide all the same.
    monkeypatch.setattr(pairs, "_SLOT_BITS", bits)
    monkeypatch.setattr(offers, "_BLOCK", 37)
    pool = make_pool(600, seed=1, n_concepts=300, ineligible=0.0)
    lists = concept_lists(pool.concepts[0], pool.concepts[1], np.arange(600), expectation)
    queue, stratum, cost = np.random.default_rng(0).permutation(600), pool.cluster.astype(int), pool.n_prompt_tokens
    results = []
    for screen in (None, Screen(lists.n_concepts, expectation)):
        remaining = np.full(12, 900)
        graph = ConceptGraph(lists.n_concepts, expectation)
        results.append((*offers.offer(graph, screen, lists, queue, stratum, cost, remaining), remaining))
    for plain, screened in zip(*results, strict=True):
        assert np.array_equal(plain, screened)
    assert len(results[0][1]) > 50


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
