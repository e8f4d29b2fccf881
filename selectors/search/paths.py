"""Tree search for paths through the layers of a model: which layers can be skipped, by a reward for each path.

The search of CoLa (arXiv 2507.07996) with skips only. A state is a path, the root that of all layers; an action skips a
block of one to four neighbours of it. Child P of a node with V visits is descended to by the highest
Q/v + c·√(ln V / v) − λ·|P|/N, with Q the sum of the rewards below it, v its visits and N the number of layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    Path = tuple[int, ...]
    Reward = Callable[[Path], tuple[float, bool]]

LONGEST_BLOCK = 4
EXPLORATION = math.sqrt(2)
"""c; not published, ours."""
LENGTH_WEIGHT = 0.5
"""λ; ours, since the paper's 5 outweighs every difference of rewards in [0, 1]."""
RANDOM_CHILD = 0.1
"""Probability of a new child where others could be descended to; the paper's."""
WIDENING = 2.0
"""A node has at least this many children times the root of its visits, as far as there are any; ours. There are more
actions than visits, so a search that tries every action first never looks two steps ahead."""


@dataclass(frozen=True)
class RatedPath:
    """A path that a search visited."""

    path: Path
    """Numbers of the layers that run, in order."""
    reward: float
    right: bool
    visits: int
    """Simulations that ended with it; over all paths they sum to the simulations."""


def search_paths(n_layers: int, reward: Reward, simulations: int, seed: int) -> list[RatedPath]:
    """Return every path that the search visited, in the order of first visits; the first is that of all layers.

    Parameters
    ----------
    n_layers : int
        At least one; so has every path.
    reward : callable
        From a path to its reward in [0, 1] and whether its answer is right. Called once for each path.
    simulations : int
        Visits in all, >= 1.
    seed : int
        Of the order in which actions are tried. Equal seeds try the same, so that searches of several items rate common
        paths.
    """
    tree = _Tree(n_layers, reward, np.random.default_rng(seed))
    for _ in range(simulations):
        tree.simulate()
    return [RatedPath(path, *node.rating, node.ended) for path, node in tree.nodes.items()]


@dataclass
class _Node:
    path: Path
    rating: tuple[float, bool]
    untried: list[Path]
    """Paths one action away, in the order in which they are tried."""
    children: list[Path] = field(default_factory=list)
    total: float = 0.0
    visits: int = 0
    ended: int = 0


class _Tree:
    """Nodes by path: a path that several orders of skips lead to is one node."""

    def __init__(self, n_layers: int, reward: Reward, rng: Generator) -> None:
        self._n_layers, self._reward, self._rng = n_layers, reward, rng
        self._full = tuple(range(n_layers))
        self.nodes: dict[Path, _Node] = {}

    def simulate(self) -> None:
        """Walk from the root to a new node, or to one without children, and add its reward to all on the way."""
        walked = self._walk()
        last = walked[-1]
        last.ended += 1
        for node in walked:
            node.visits += 1
            node.total += last.rating[0]

    def _walk(self) -> list[_Node]:
        if self._full not in self.nodes:
            return [self._new(self._full)]
        walked = [self.nodes[self._full]]
        while True:
            node = walked[-1]
            if self._tries_new(node):
                path = node.untried.pop()
                node.children.append(path)
                return [*walked, self.nodes[path] if path in self.nodes else self._new(path)]
            if not node.children:
                return walked
            walked.append(max((self.nodes[path] for path in node.children), key=lambda child: self._bound(node, child)))

    def _tries_new(self, node: _Node) -> bool:
        if not node.untried:
            return False
        return len(node.children) < WIDENING * math.sqrt(node.visits) or self._rng.random() < RANDOM_CHILD

    def _bound(self, node: _Node, child: _Node) -> float:
        spread = EXPLORATION * math.sqrt(math.log(node.visits) / child.visits)
        return child.total / child.visits + spread - LENGTH_WEIGHT * len(child.path) / self._n_layers

    def _new(self, path: Path) -> _Node:
        actions = shorter_paths(path)
        untried = [actions[index] for index in self._rng.permutation(len(actions))]
        self.nodes[path] = _Node(path, self._reward(path), untried)
        return self.nodes[path]


def shorter_paths(path: Path) -> list[Path]:
    """Return the paths without one block of at most four neighbours; none is empty."""
    longest = min(LONGEST_BLOCK, len(path) - 1)
    blocks = [(start, size) for size in range(1, longest + 1) for start in range(len(path) - size + 1)]
    return [path[:start] + path[start + size :] for start, size in blocks]
