"""Pruning masks: drop the k lowest scores of each row, of each group of M, or of many matrices at once.

Counts are exact and ties are broken by the lower index (row-major, in the order given), so that equal scores give equal
masks on every machine. A mask is True where a weight is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_HALF = 16
_LOW = (1 << _HALF) - 1


@dataclass(frozen=True, slots=True)
class NMPattern:
    """N:M sparsity: of every M consecutive inputs of a row, N are kept."""

    kept: int
    """N, at least 1."""
    group: int
    """M, more than N."""

    def __str__(self) -> str:
        """Return ``"N:M"``, as `parse_pattern` reads it."""
        return f"{self.kept}:{self.group}"


def parse_pattern(text: str) -> NMPattern:
    """Parse ``"N:M"``.

    Raises
    ------
    UsageError
        Unless it reads ``N:M`` with 1 ≤ N < M.
    """
    match = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if not match or not 1 <= int(match[1]) < int(match[2]):
        raise UsageError(f"pattern {text!r} is not N:M with 1 <= N < M; give the weights kept per group, such as 2:4")
    return NMPattern(int(match[1]), int(match[2]))


def check_sparsity(sparsity: float) -> float:
    """Return `sparsity`, the share of weights to remove, if it is valid.

    Raises
    ------
    UsageError
        Unless it lies strictly between 0 and 1.
    """
    if not 0 < sparsity < 1:
        raise UsageError(
            f"sparsity {sparsity} is not between 0 and 1; give the share of weights to remove, such as 0.5"
        )
    return sparsity


def drop_per_row(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Return the mask of `scores`, shape (rows, n), that drops the `k` lowest of each row."""
    # A stable sort keeps equal scores in index order, which is the tie-breaking rule.
    order = scores.argsort(dim=1, stable=True)[:, :k]
    return torch.ones_like(scores, dtype=torch.bool).scatter_(1, order, False)


def drop_per_group(scores: torch.Tensor, pattern: NMPattern) -> torch.Tensor:
    """Return the mask of `scores`, shape (rows, n) with n divisible by M, that keeps the N highest of each M."""
    groups = scores.reshape(-1, pattern.group)
    return drop_per_row(groups, pattern.group - pattern.kept).reshape(scores.shape)


def drop_overall(scores: Sequence[Callable[[], torch.Tensor]], k: int) -> Iterable[torch.Tensor]:
    """Yield one mask per matrix; together they drop the `k` lowest scores of all of them.

    The bit pattern of a non-negative float32 grows with its value, so two counting passes over its upper and lower
    16 bits find the k-th lowest score exactly, with one matrix in memory at a time and no sort.

    Parameters
    ----------
    scores : sequence of callables
        Each returns one matrix of finite scores ≥ 0; called several times.
    k : int
        How many to drop, at most all.
    """
    # The k-th lowest score does not exist when every score is dropped.
    if k == sum(score().numel() for score in scores):
        yield from (torch.zeros_like(score(), dtype=torch.bool) for score in scores)
        return
    high, below = _bucket(_count(_bits(score()) >> _HALF for score in scores), k)
    in_bucket = (bits[bits >> _HALF == high] & _LOW for bits in (_bits(score()) for score in scores))
    low, below_low = _bucket(_count(in_bucket), k - below)
    threshold = (high << _HALF) | low
    # Scores equal to the threshold are dropped in index order until k are gone; the count runs over all matrices.
    ties = k - below - below_low
    for score in scores:
        bits = _bits(score())
        equal = bits == threshold
        dropped = equal.flatten().cumsum(0).reshape(equal.shape) <= ties
        yield ~((bits < threshold) | (equal & dropped))
        ties -= min(ties, int(equal.sum()))


def _bits(score: torch.Tensor) -> torch.Tensor:
    # Adding zero turns -0.0 into 0.0, whose bits would otherwise be negative.
    return (score.to(torch.float32) + 0.0).contiguous().view(torch.int32)


def _count(values: Iterable[torch.Tensor]) -> torch.Tensor:
    total = torch.zeros(1 << _HALF, dtype=torch.int64)
    for value in values:
        total += torch.bincount(value.flatten(), minlength=1 << _HALF).cpu()
    return total


def _bucket(counts: torch.Tensor, k: int) -> tuple[int, int]:
    """Return the bucket that the k-th lowest value (from 0) falls into, and how many values lie below it."""
    cumulative = counts.cumsum(0)
    bucket = int(torch.searchsorted(cumulative, k, right=True))
    return bucket, int(cumulative[bucket] - counts[bucket])
