"""How far a score moves over wordings of its task, and whether a compression's damage is above that.

The spread is the sample standard deviation of the score over wordings. Damage (original − compressed, the mean over
wordings) that is not above the larger of both models' spreads is no more than another wording does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.assessment.intervals import Interval, Resampling, percentile_interval, replicate_means

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DamageBesideSpread:
    """What a compression cost, against what a wording costs."""

    interval: Interval
    """Mean over items and wordings of original − compressed, with its interval over items."""
    spread: float
    """The larger of both models' spreads over wordings."""

    @property
    def above(self) -> bool:
        """True if the damage is larger than the spread."""
        return self.interval.value > self.spread


def spread(scores: NDArray[np.float64]) -> float:
    """Return the standard deviation over wordings of the mean score.

    Parameters
    ----------
    scores : ndarray of shape (w, n), float64
        Score of each item under each of at least two wordings.
    """
    return float(scores.mean(axis=1).std(ddof=1))


def damage(compressed: NDArray[np.float64], original: NDArray[np.float64], how: Resampling) -> DamageBesideSpread:
    """Return the damage between two models' scores, both as for `spread`, on the same items and wordings."""
    lost = (original - compressed).mean(axis=0)[None]
    group = np.zeros(lost.shape[1], np.int64)
    drawn = replicate_means(lost, group, 1, how.draws, np.random.default_rng(how.seed))[:, 0, 0]
    interval = percentile_interval(float(lost.mean()), drawn, how)
    return DamageBesideSpread(interval, max(spread(compressed), spread(original)))
