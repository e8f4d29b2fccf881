"""The concept graph agrees with recounting all accepted rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.concept_rows import lists_of
from references.pools import make_pool
from references.selection import GraphLoop

from curate.selectors.consistency.graph import ConceptGraph, concept_lists

ROWS = st.lists(st.sets(st.integers(0, 9), max_size=6), min_size=1, max_size=25)


@pytest.mark.parametrize("expectation", [0.0, 0.5, 1.0, 3.0])
@given(rows=ROWS)
def test_graph_agrees_with_recounting(expectation, rows):
    lists = lists_of(rows, expectation)
    graph, loop = ConceptGraph(lists.n_concepts, expectation), GraphLoop(expectation)
    for place, (row, concepts) in enumerate(zip(rows, lists.of(np.arange(len(rows))), strict=True)):
        expected = loop.conflicts(row)
        assert len(list(graph.conflicts(concepts))) == len(expected)
        assert graph.refuses(concepts) == bool(expected)
        if not expected:
            graph.accept(concepts)
            loop.accepted.append((place, row))


def test_leaving_out_rare_concepts_changes_no_decision():
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
