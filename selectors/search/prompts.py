"""Choice among candidate prompts: influence of each, the best kept, and a greedy search for sequences of the kept.

The steps of ClaPS (arXiv 2310.12774) for a given list of candidates. The influence of candidate v is
reward(v) − reward(no candidate); only the candidates with the highest influence are appended to one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Reward = Callable[[tuple[int, ...]], float]

LEAST_KEPT = 2
"""Fewest candidates that pruning keeps: a spread needs two."""


@dataclass(frozen=True)
class PromptSearch:
    """What a search found, and what it cost."""

    influence: tuple[float, ...]
    """Of each candidate, in the unit of the reward."""
    kept: tuple[int, ...]
    """Candidates that survived pruning, the highest influence first; ties by the lower number."""
    best: tuple[int, ...]
    """The sequence that greedy appending ended with; empty if no kept candidate beats none at all."""
    calls: int
    """Calls of the reward, each with another sequence."""


def search_prompts(n_candidates: int, reward: Reward, keep: float = 1.0, length: int = 1) -> PromptSearch:
    """Return influences, the kept candidates and the sequence of them that greedy appending finds.

    Parameters
    ----------
    n_candidates : int
        At least two.
    reward : callable
        From a sequence of distinct candidate numbers to a figure, larger = better; () is no candidate. Called once for
        each sequence.
    keep : float
        Share of the candidates that are kept, in (0, 1]; at least two are.
    length : int
        Longest sequence, >= 1. Appending ends earlier where no candidate raises the reward.
    """
    rewards: dict[tuple[int, ...], float] = {}

    def rated(sequence: tuple[int, ...]) -> float:
        if sequence not in rewards:
            rewards[sequence] = reward(sequence)
        return rewards[sequence]

    influence = tuple(rated((one,)) - rated(()) for one in range(n_candidates))
    order = sorted(range(n_candidates), key=lambda one: (-influence[one], one))
    kept = tuple(order[: max(LEAST_KEPT, math.ceil(keep * n_candidates))])
    best: tuple[int, ...] = ()
    while len(best) < length:
        longer = [(*best, one) for one in sorted(kept) if one not in best]
        winner = max(longer, key=rated, default=best)
        if rated(winner) <= rated(best):
            break
        best = winner
    return PromptSearch(influence, kept, best, len(rewards))


def random_search(n_candidates: int, reward: Reward, calls: int, length: int, seed: int) -> tuple[int, ...]:
    """Return the best of random sequences, as a baseline of `search_prompts`; of equal ones the shorter, then lower.

    Parameters
    ----------
    n_candidates, reward, length
        As of `search_prompts`.
    calls : int
        Sequences that are rated, all different: that of no candidate, and others of which each is equally likely; all
        that there are if these are fewer.
    seed : int
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    counts = [math.perm(n_candidates, size) for size in range(length + 1)]
    chosen: set[tuple[int, ...]] = {()}
    while len(chosen) < min(calls, sum(counts)):
        size = int(rng.choice(length + 1, p=[count / sum(counts) for count in counts]))
        chosen.add(tuple(rng.permutation(n_candidates)[:size].tolist()))
    return max(sorted(chosen, key=lambda one: (len(one), one)), key=reward)


def full_search_calls(n_candidates: int, length: int) -> int:
    """Return how many sequences of at most `length` distinct candidates there are, the empty one included."""
    return sum(math.perm(n_candidates, size) for size in range(length + 1))
