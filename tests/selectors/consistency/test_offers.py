"""Offering rows with and without the screen has the same outcome."""

import numpy as np
import pytest
from references.pools import make_pool

from curate.selectors.consistency import offers, pairs
from curate.selectors.consistency.graph import ConceptGraph, concept_lists
from curate.selectors.consistency.pairs import Screen


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
