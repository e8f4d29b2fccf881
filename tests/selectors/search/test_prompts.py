"""Search for prompts: the greedy search beside one that rates every sequence, and how often each calls the reward."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.selectors.search.prompts import full_search_calls, random_search, search_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Sequences = tuple[int, ...]


def full_search(n: int, reward: Callable[[Sequences], float], length: int) -> tuple[Sequences, int]:
    """Return the best of all sequences of at most `length` distinct candidates, and their number."""
    every = [one for size in range(length + 1) for one in permutations(range(n), size)]
    return max(every, key=reward), len(every)


def counted(values: Sequence[float], seen: list[Sequences]) -> Callable[[Sequences], float]:
    """Return a reward that adds the values of its candidates and notes every call."""

    def reward(sequence: Sequences) -> float:
        seen.append(sequence)
        return 1.0 + sum(values[one] for one in sequence)

    return reward


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=6), st.integers(1, 3))
def test_where_rewards_add_up_the_best_of_all_sequences_is_found(values: list[int], length: int) -> None:
    seen: list[Sequences] = []
    found = search_prompts(len(values), counted(values, seen), length=length)
    best, calls = full_search(len(values), counted(values, []), length)
    assert sum(values[one] for one in found.best) == sum(values[one] for one in best)
    assert full_search_calls(len(values), length) == calls
    assert found.calls == len(seen) == len(set(seen)) <= calls


def test_influence_is_the_rise_over_no_candidate_and_ties_go_to_the_lower_number() -> None:
    found = search_prompts(4, counted([0.5, 2.0, 2.0, -1.0], []), keep=0.5, length=4)
    assert found.influence == pytest.approx((0.5, 2.0, 2.0, -1.0))
    assert found.kept == (1, 2)
    assert found.best == (1, 2)


def test_appending_ends_where_nothing_raises_the_reward() -> None:
    found = search_prompts(3, counted([-1.0, -2.0, -3.0], []), length=2)
    assert found.best == ()
    assert found.calls == 4


def test_only_kept_candidates_are_appended() -> None:
    seen: list[Sequences] = []
    values = [float(one) for one in range(20)]
    found = search_prompts(20, counted(values, seen), keep=0.1, length=2)
    assert found.kept == (19, 18)
    assert found.best == (19, 18)
    assert [one for one in seen if len(one) == 2] == [(19, 18)]
    assert found.calls == 22 < 0.25 * full_search_calls(20, 2) == 0.25 * 401


def test_two_are_kept_however_small_the_share() -> None:
    assert search_prompts(3, counted([1.0, 3.0, 2.0], []), keep=0.01).kept == (1, 2)


@pytest.mark.parametrize("calls", [1, 5, 20, 41, 100])
def test_a_random_search_rates_as_many_sequences_and_takes_the_best(calls: int) -> None:
    values = [0.5, -1.0, 2.0, 1.0]
    seen: list[Sequences] = []
    n_all = full_search_calls(4, 3)
    assert n_all == 41
    found = random_search(4, counted(values, seen), calls, 3, seed=1)
    assert len(seen) == len(set(seen)) == min(calls, n_all)
    assert () in seen
    assert all(len(set(one)) == len(one) <= 3 for one in seen)
    assert counted(values, [])(found) == max(counted(values, [])(one) for one in seen)
    assert random_search(4, counted(values, []), calls, 3, seed=1) == found
    if calls >= n_all:
        assert found == (0, 2, 3)


def test_each_sequence_is_as_likely_in_a_random_search() -> None:
    drawn = []
    for seed in range(600):
        seen: list[Sequences] = []
        random_search(3, counted([1.0, 1.0, 1.0], seen), 2, 2, seed)
        drawn += [one for one in seen if one]
    # Nine sequences of one or two candidates, 66.7 of each expected.
    assert len(set(drawn)) == 9
    assert all(abs(drawn.count(one) - 600 / 9) < 5 * (600 / 9) ** 0.5 for one in set(drawn))


def test_of_equal_sequences_the_shorter_is_taken() -> None:
    assert random_search(3, lambda _: 0.0, 100, 2, seed=0) == ()
