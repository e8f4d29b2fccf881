"""Concept lists of small, explicit rows."""

import numpy as np

from curate.selectors.consistency.graph import ConceptLists, concept_lists


def lists_of(rows: list[set[int]], expectation: float = 0.0) -> ConceptLists:
    """Return the concepts of all rows, each at the position of its row."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    values = np.array([concept for row in rows for concept in sorted(row)], dtype=np.int32)
    return concept_lists(offsets, values, np.arange(len(rows)), expectation)
