from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_valid_selection
from references.pools import draw_embeddings, make_pool
from references.selection import farthest_first_loop

from curate.schemas.errors import InputError
from curate.selectors.methods import k_center
from curate.selectors.methods.k_center import KCenterSettings, farthest_first, select


@pytest.mark.parametrize("front", [1, 7, 64, 4096])
def test_agrees_with_the_loop_whatever_the_front(monkeypatch, front):
    monkeypatch.setattr(k_center, "_FRONT", front)
    monkeypatch.setattr(k_center, "_CENTRES", 5)
    rng = np.random.default_rng(0)
    points = draw_embeddings(rng, rng.integers(0, 5, 90), 5, 16)
    picks, distance = farthest_first(points, np.ones(90, int), 40, points[:0], start=17)
    assert picks.tolist() == farthest_first_loop(points.astype(np.float64), 40, 17)
    assert np.isnan(distance[0])
    assert (np.diff(distance[1:]) < 1e-5).all(), "each pick is at most as far as the one before"


def test_pins_are_the_first_centres():
    points = np.eye(4, dtype=np.float32)
    picks, distance = farthest_first(points, np.ones(4, int), 3, points[:1], start=None)
    assert picks.tolist() == [1, 2, 3]
    assert np.allclose(distance, np.sqrt(2))


def test_identical_rows_are_each_picked_once():
    points = np.tile(np.array([[1.0, 0.0]], np.float32), (9, 1))
    picks, _ = farthest_first(points, np.ones(9, int), 9, points[:0], start=3)
    assert sorted(picks.tolist()) == list(range(9))


def test_rows_that_cost_too_much_are_skipped():
    points = np.eye(4, dtype=np.float32)
    picks, _ = farthest_first(points, np.array([5, 9, 4, 2]), 11, points[:0], start=0)
    assert picks.tolist() == [0, 2, 3]


@pytest.mark.parametrize("in_tokens", [False, True])
def test_broken_and_zero_embeddings(in_tokens):
    pool = make_pool(80, width=8)
    embeddings = pool.embeddings.copy()
    embeddings[3], embeddings[4, 2], embeddings[5] = 0.0, np.nan, np.inf
    pool = replace(pool, embeddings=embeddings, eligible=np.ones(80, bool), reason=np.full(80, "", object))
    selection = select(pool, 60, in_tokens, KCenterSettings(), np.random.default_rng(0))
    assert_valid_selection(selection, pool, 60, in_tokens)
    assert selection.reason[4] == selection.reason[5] == "filtered:non_finite:embedding"


def test_missing_embeddings_are_named():
    with pytest.raises(InputError, match="embeddings"):
        select(make_pool(10), 2, False, KCenterSettings(), np.random.default_rng(0))
