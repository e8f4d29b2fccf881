"""Zeros of weight matrices and the pattern they follow: the share of zeros, and N:M along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

SPARSE_FROM = 0.01
"""Share of zeros from which a matrix counts as pruned: rounding to 16 bits creates far fewer."""

GROUPS = (2, 4, 8, 16, 32)
"""Group sizes M that are tested for an N:M pattern."""

REPEATED_FROM = 0.2
"""Share of the non-zero weights that have a twin among their neighbours, from which a matrix is rounded to a grid. Of 4
bits nearly all have one, of 6 bits a quarter, of continuous weights none, stored in bfloat16 a few of a hundred."""

LEVEL_SLACK = 2.0
"""How many times as frequent as the most frequent other value zero may be in such a group to be one level of the grid.
In a rounded matrix that was pruned as well it is several times as frequent."""

GRID_GROUP = 16
"""Neighbours that are compared: the smallest block that quantisers give a step of its own."""

SAMPLED_GROUPS = 4096
"""Groups of neighbours that are looked at, evenly spread over a matrix."""

PATTERN_SLACK = 0.02
"""How far the share of zeros may lie from 1 − N/M: at high sparsity some N:M bounds hold by chance, but loosely."""


@dataclass(frozen=True, slots=True)
class MatrixStatistics:
    """Zeros of one weight matrix of a decoder layer."""

    name: str
    layer: int
    shape: tuple[int, ...]
    zeros: int
    max_nonzero: tuple[tuple[int, ...], tuple[int, ...]]
    """Most non-zero weights in any group of each size of `GROUPS`, along the last axis and along the one before; the
    group size itself where the axis is not divisible by it."""
    rounded: bool = False
    """Whether the zeros are one level of a grid that the weights were rounded to by a quantiser."""

    @property
    def weights(self) -> int:
        """Number of weights."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def sparsity(self) -> float:
        """Share of zeros, in [0, 1]."""
        return self.zeros / max(1, self.weights)


def describe_matrix(name: str, layer: int, tensor: torch.Tensor) -> MatrixStatistics:
    """Return the statistics of one matrix that `detect` needs."""
    nonzero = tensor != 0
    zeros = nonzero.numel() - int(nonzero.count_nonzero())
    # The groups of a dense matrix are full; counting them would take most of the time of an inspection.
    axes = (nonzero, nonzero.transpose(-1, -2)) if zeros >= SPARSE_FROM * nonzero.numel() else ()
    most = tuple(tuple(_max_nonzero(axis, group) for group in GROUPS) for axis in axes)
    maxima = most if len(most) == 2 else (GROUPS, GROUPS)
    return MatrixStatistics(name, layer, tuple(tensor.shape), zeros, maxima, bool(axes) and is_rounded(tensor))


def is_rounded(matrix: torch.Tensor) -> bool:
    """Return whether the zeros of a matrix are a level of a quantiser's grid rather than a pruning pattern.

    A quantiser rounds a few dozen neighbours to a grid of few values, so that most occur several times, zero like the
    others. Pruned weights are continuous: no two of them are equal.
    """
    size = GRID_GROUP
    flat = matrix.detach().reshape(-1)
    if len(flat) < size:
        return False
    groups = flat[: len(flat) // size * size].reshape(-1, size)
    groups = groups[:: max(1, len(groups) // SAMPLED_GROUPS)].double()
    # How often each weight's value occurs in its group.
    counts = (groups[:, :, None] == groups[:, None, :]).sum(-1)
    nonzero = groups != 0
    repeated = float(((counts > 1) & nonzero).sum()) / max(1, int(nonzero.sum()))
    zeros = float((~nonzero).sum(1).double().mean())
    most = float((counts * nonzero).amax(1).double().mean())
    return repeated >= REPEATED_FROM and zeros <= LEVEL_SLACK * most


def _max_nonzero(nonzero: torch.Tensor, group: int) -> int:
    """Return the largest number of non-zero entries in any `group` consecutive ones along the last axis."""
    if nonzero.shape[-1] % group:
        return group
    return int(nonzero.reshape(-1, group).sum(1).max())


def pattern_of(matrices: Iterable[MatrixStatistics]) -> str | None:
    """Return the tightest ``N:M`` that every pruned matrix has along one axis, None if there is none.

    Linear layers have their inputs on the last axis; GPT-2's have them on the first.
    """
    pruned = [matrix for matrix in matrices if matrix.sparsity >= SPARSE_FROM and not matrix.rounded]
    if not pruned:
        return None
    sparsity = sum(matrix.zeros for matrix in pruned) / sum(matrix.weights for matrix in pruned)
    for axis in (0, 1):
        bounds = [(max(m.max_nonzero[axis][i] for m in pruned) / group, group) for i, group in enumerate(GROUPS)]
        # The lowest density, then the smallest group: a 2:4 matrix is a 4:8 matrix too.
        density, group = min(bounds)
        if density < 1 and abs(sparsity - (1 - density)) <= PATTERN_SLACK:
            return f"{round(density * group)}:{group}"
    return None
