"""What the path searches of several items share: shortest right paths, and the paths that are right most often."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.selectors.search.paths import Path, RatedPath

    Search = Sequence[RatedPath]


def shortest_right(search: Search) -> Path | None:
    """Return the shortest right path of one item, of equally short ones that with the highest reward; None without."""
    right = [one for one in search if one.right]
    return min(right, key=lambda one: (len(one.path), -one.reward, one.path)).path if right else None


def frequent_paths(searches: Sequence[Search], n_layers: int, most: int) -> list[tuple[Path, int]]:
    """Return the paths that are right for the most items, with their number; at most `most`.

    The path of all layers is not among them. Ties go to the higher sum of rewards over the items that rated the path,
    then to the shorter path.
    """
    votes: Counter[Path] = Counter()
    rewards: defaultdict[Path, float] = defaultdict(float)
    for search in searches:
        for one in search:
            votes[one.path] += one.right
            rewards[one.path] += one.reward
    shorter = [path for path, number in votes.items() if number and len(path) < n_layers]
    order = sorted(shorter, key=lambda path: (-votes[path], -rewards[path], len(path), path))
    return [(path, votes[path]) for path in order[:most]]


def random_paths(n_layers: int, length: int, number: int, seed: int) -> list[Path]:
    """Return `number` paths of `length` layers, each drawn at random from all of that length."""
    rng = np.random.default_rng([seed, length])
    return [tuple(sorted(rng.choice(n_layers, length, replace=False).tolist())) for _ in range(number)]


def path_text(path: Path) -> str:
    """Return a path as it is written: (0, 1, 2, 5) as ``0-2,5``."""
    runs: list[list[int]] = []
    for layer in path:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
