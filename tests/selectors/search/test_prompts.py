"""Search for prompts: the greedy search beside one that rates every sequence, and how often each calls the reward."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.selectors.search.prompts import full_search_calls, search_prompts

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
