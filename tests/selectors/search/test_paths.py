"""Search for paths, on tables of rewards: against all subsets of layers, and its book-keeping."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.selectors.search.paths import search_paths, shorter_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    Path = tuple[int, ...]


def every_path(n_layers: int) -> list[Path]:
    """Return all subsets of the layers but the empty one."""
    return [path for size in range(1, n_layers + 1) for path in combinations(range(n_layers), size)]


def reward_table(
    n_layers: int, seed: int, seen: list[Path]
) -> tuple[dict[Path, float], Callable[[Path], tuple[float, bool]]]:
    """Return a random reward for every path, and the reward as a function that notes its calls."""
    paths = every_path(n_layers)
    table = dict(zip(paths, np.random.default_rng(seed).random(len(paths)).tolist(), strict=True))

    def reward(path: Path) -> tuple[float, bool]:
        seen.append(path)
        return table[path], table[path] > 0.5

    return table, reward


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_all_paths_is_reached(seed: int) -> None:
    table, reward = reward_table(5, seed, [])
    rated = search_paths(5, reward, 600, seed)
    assert max(rated, key=lambda one: one.reward).path == max(table, key=table.__getitem__)
    assert {one.path: one.reward for one in rated}.items() <= table.items()


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 80), st.integers(0, 5))
def test_visits_sum_to_the_simulations_and_no_path_is_rated_twice(n_layers: int, simulations: int, seed: int) -> None:
    seen: list[Path] = []
    _, reward = reward_table(n_layers, seed, seen)
    rated = search_paths(n_layers, reward, simulations, seed)
    assert sum(one.visits for one in rated) == simulations
    assert [one.path for one in rated] == seen
    assert len(set(seen)) == len(seen)
    assert seen[0] == tuple(range(n_layers))
    assert set(seen) <= set(every_path(n_layers))


def test_equal_seeds_search_alike_and_others_do_not() -> None:
    _, reward = reward_table(8, 0, [])
    assert search_paths(8, reward, 50, 3) == search_paths(8, reward, 50, 3) != search_paths(8, reward, 50, 4)


def test_the_search_returns_to_where_it_was_rewarded() -> None:
    def reward(path: Path) -> tuple[float, bool]:
        return (0.9, True) if 7 not in path and len(path) > 12 else (0.1, False)

    searches = [search_paths(20, reward, 400, seed) for seed in range(3)]
    visits = sum(one.visits for rated in searches for one in rated if one.right) / 1200
    walks = [random_walk(seed) for seed in range(1200)]
    assert visits > 1.3 * sum(reward(path)[1] for path in walks) / 1200


def random_walk(seed: int) -> Path:
    """Return the path of all 20 layers after one to three random actions."""
    rng = np.random.default_rng(seed)
    path = tuple(range(20))
    for _ in range(rng.integers(1, 4)):
        actions = shorter_paths(path)
        path = actions[rng.integers(len(actions))]
    return path


def test_an_action_removes_up_to_four_neighbours_of_a_path() -> None:
    found = shorter_paths((0, 2, 3, 5, 6, 9))
    assert len(found) == len(set(found)) == 6 + 5 + 4 + 3
    assert (0, 2, 6, 9) in found
    assert (0, 3, 6, 9) not in found
    assert (0, 9) in found
    assert shorter_paths((4,)) == []
    assert shorter_paths((4, 5)) == [(5,), (4,)]
