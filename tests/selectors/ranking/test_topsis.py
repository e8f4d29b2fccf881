import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.selection import closeness_loop

from curate.selectors.ranking.topsis import closeness, closeness_within

SIGNAL = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda x: round(x, 6))


@given(st.lists(st.tuples(SIGNAL, SIGNAL.map(abs)), min_size=1, max_size=30), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_agrees_with_the_loop(rows, weight):
    don, nod = np.array([a for a, _ in rows]), np.array([b for _, b in rows])
    got = closeness(don, nod, weight)
    np.testing.assert_allclose(got, closeness_loop(don, nod, weight), atol=1e-9)
    assert ((got >= 0) & (got <= 1)).all()


@pytest.mark.parametrize("weight", [0.5, 0.2, 0.9])
def test_agrees_with_pymcdm(weight):
    from pymcdm.methods import TOPSIS
    from pymcdm.normalizations import vector_normalization

    rng = np.random.default_rng(3)
    matrix = np.column_stack([rng.normal(size=200), rng.gamma(2.0, size=200)])
    theirs = TOPSIS(vector_normalization)(matrix, np.array([weight, 1 - weight]), np.array([1, -1]))
    np.testing.assert_allclose(closeness(matrix[:, 0], matrix[:, 1], weight), theirs, rtol=1e-10)


def test_best_and_worst_rows_reach_one_and_zero():
    assert closeness(np.array([2.0, 0.0, 1.0]), np.array([1.0, 3.0, 2.0])).tolist()[:2] == [1.0, 0.0]


def test_equal_rows_are_in_the_middle():
    assert closeness(np.full(3, 0.2), np.full(3, 0.7)).tolist() == [0.5, 0.5, 0.5]


def test_a_zero_column_has_no_influence():
    don = np.array([3.0, 1.0, 2.0])
    assert np.argsort(-closeness(don, np.zeros(3))).tolist() == [0, 2, 1]
    assert closeness(np.zeros(2), np.zeros(2)).tolist() == [0.5, 0.5]


def test_no_rows_and_one_row():
    assert closeness(np.zeros(0), np.zeros(0)).shape == (0,)
    assert closeness(np.array([4.0]), np.array([2.0])).tolist() == [0.5]


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_of_a_column_does_not_matter(scale):
    rng = np.random.default_rng(0)
    don, nod = rng.normal(size=50), rng.gamma(2.0, size=50)
    np.testing.assert_allclose(closeness(don * scale, nod), closeness(don, nod), rtol=1e-9)


def top_tenth(score):
    return set(np.argsort(-score, kind="stable")[: len(score) // 10].tolist())


@pytest.mark.parametrize(("normalise", "robust"), [("vector", False), ("winsor", True), ("rank", True)])
def test_only_the_vector_normalisation_is_sensitive_to_an_outlier(normalise, robust):
    rng = np.random.default_rng(1)
    don, nod = rng.normal(size=1000), rng.gamma(2.0, size=1000)
    clean = top_tenth(closeness(don, nod, normalise=normalise))
    don[0], nod[0] = 1e4, 1e4
    hit = top_tenth(closeness(don, nod, normalise=normalise))
    assert (len(clean & hit) / len(clean) > 0.9) == robust


def test_equal_values_share_their_mean_rank():
    # As ranks (1.5, 1.5, 3) of don and (1, 2, 3) of nod; equal values of don share a rank.
    first = closeness(np.array([1.0, 1.0, 5.0]), np.array([1.0, 2.0, 3.0]), normalise="rank")
    np.testing.assert_allclose(first, closeness_loop([1.5, 1.5, 3.0], [1.0, 2.0, 3.0]), rtol=1e-12)


def test_strata_are_ranked_separately():
    rng = np.random.default_rng(2)
    don, nod, stratum = rng.normal(size=60), rng.gamma(2.0, size=60), rng.integers(0, 4, 60)
    got = closeness_within(stratum, don, nod)
    for k in range(4):
        np.testing.assert_allclose(got[stratum == k], closeness_loop(don[stratum == k], nod[stratum == k]), rtol=1e-10)
