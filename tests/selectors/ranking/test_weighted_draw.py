"""Weighted sampling has the probabilities of sequential drawing and is reproducible."""

from itertools import permutations

import numpy as np
import pytest
from references.drawing import order_probabilities

from curate.selectors.ranking.weighted_draw import draw


def test_orders_have_the_probabilities_of_sequential_drawing() -> None:
    weights = np.array([4.0, 1.0, 2.0, 0.5])
    rng = np.random.default_rng(0)
    draws = 20_000
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(draws):
        order = tuple(draw(weights, 2, rng).tolist())
        counts[order] = counts.get(order, 0) + 1
    expected = order_probabilities(weights.tolist(), 2)
    assert counts.keys() <= expected.keys() == set(permutations(range(4), 2))
    for order, chance in expected.items():
        deviation = np.sqrt(chance * (1 - chance) / draws)
        assert counts.get(order, 0) / draws == pytest.approx(chance, abs=5 * deviation), order


def test_a_smaller_draw_is_a_prefix_of_a_larger_one() -> None:
    weights = np.random.default_rng(1).random(50)
    few, many = (draw(weights, n, np.random.default_rng(7)) for n in (5, 80))
    assert many[:5].tolist() == few.tolist()
    assert sorted(many.tolist()) == list(range(50))


def test_rows_of_weight_zero_come_last() -> None:
    weights = np.array([0.0, 1e-300, 0.0, 1.0])
    assert set(draw(weights, 2, np.random.default_rng(0)).tolist()) == {1, 3}
    assert set(draw(weights, 4, np.random.default_rng(0)).tolist()[2:]) == {0, 2}


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, np.nan], [np.inf, 1.0]])
def test_invalid_weights_are_errors(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        draw(np.array(weights), 1, np.random.default_rng(0))
