"""Decides which half-drawn samples go on: of the partials of a row, the share with the highest running score.

A row's partials are its samples of one wave that have not ended. They all have the same number of tokens when they are
compared, so that the sum of log p orders them as the mean does. Those of an earlier wave are not compared with: they
were judged before the wave began, and none was accepted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_SAMPLES = 4
"""Samples of a row without which no wave has two of them."""
DIGITS = 4
"""Decimals of a running score, in nats, that are compared: a batch of another size changes the later ones."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """When partials are compared, and how many stay."""

    at: int
    """Tokens after which they are compared, >= 1."""
    keep: float
    """Share of a row's partials that go on, in (0, 1), rounded down; at least one does."""


def survivors(partials: Sequence[tuple[int, float]], keep: float) -> set[int]:
    """Return the positions of the partials that go on; of equal ones, the first.

    Parameters
    ----------
    partials : sequence of pairs
        Row and running score of each, the samples of a row by number.
    keep : float
        As `Pruning.keep`.
    """
    by_row: dict[int, list[tuple[float, int]]] = {}
    for position, (row, score) in enumerate(partials):
        by_row.setdefault(row, []).append((-round(score, DIGITS), position))
    # Rounded first, since 0.29 · 100 is 28.999….
    counts = {row: max(1, math.floor(round(keep * len(own), 9))) for row, own in by_row.items()}
    return {position for row, own in by_row.items() for _, position in sorted(own)[: counts[row]]}
