import numpy as np
import pytest
from references.blobs import blobs
from references.clustering import neighbours_loop

from curate.selectors.neighbours.compressed_index import SMALLEST, CompressedIndex
from curate.selectors.neighbours.exact import nearest, unit_rows


def structured(n: int, width: int = 64, seed: int = 0) -> np.ndarray:
    """Rows in forty groups with much noise: many near neighbours at almost the same distance."""
    return unit_rows(blobs(n, 40, width=width, noise=0.15, seed=seed)[0])


def test_recall_of_true_neighbours_is_high() -> None:
    rows, queries = structured(SMALLEST), structured(500, seed=1)
    index = CompressedIndex(rows)
    assert not index.exact
    assert index.recall(queries, 15) > 0.98
    indices, distances = index.nearest(queries, 15)
    # Returned distances are exact, even if a true neighbour was missed.
    np.testing.assert_allclose(distances, 1 - np.einsum("nkw,nw->nk", rows[indices], queries), atol=3e-7)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_recall_agrees_with_a_loop() -> None:
    rows = structured(SMALLEST)
    queries = structured(40, seed=1)
    index = CompressedIndex(rows)
    indices = index.nearest(queries, 7)[0]
    hits = 0
    for place, query in enumerate(queries):
        everything = np.vstack([query[None], rows[np.argsort(-(rows @ query))[:60]]])
        best = np.argsort(-(rows @ query))[:60]
        true = {int(best[j - 1]) for _, j in neighbours_loop(everything, 7)[0]}
        hits += len(true & set(indices[place].tolist()))
    assert index.recall(queries, 7) == pytest.approx(hits / 280, abs=1e-9)


def test_few_rows_are_searched_exactly() -> None:
    rows = structured(300)
    index = CompressedIndex(rows)
    assert index.exact
    assert np.array_equal(index.nearest(rows[:9], 5)[0], nearest(rows[:9], rows, 5)[0])
    assert index.recall(rows[:9], 5) == 1.0


def test_a_width_that_does_not_divide_and_any_threads_give_the_same() -> None:
    rows, queries = structured(SMALLEST, width=62), structured(300, width=62, seed=1)
    one, two = (
        CompressedIndex(rows).nearest(queries, 5, threads=1),
        CompressedIndex(rows).nearest(queries, 5, threads=2),
    )
    assert one[0].tobytes() == two[0].tobytes()
    assert one[1].tobytes() == two[1].tobytes()


def test_more_neighbours_than_candidates_are_searched_exactly() -> None:
    rows = structured(SMALLEST)
    assert CompressedIndex(rows).nearest(rows[:2], 700)[0].shape == (2, 700)
