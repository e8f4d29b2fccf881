"""By signal: keeps the rows with the largest, or the smallest, values of one signal.

Score = ±signal, by ``--prefer``. The signal is one that scoring computes, one that is read from a model's samples
(`curate.schemas.targets.SOLVED`), or one that the user imported with `curate import-scores`: the way in for a reward
model, human ratings or another paper's method. Source: ours. Which end is better depends on the signal, so the user
chooses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.schemas.defaults import option
from curate.schemas.errors import InputError, UsageError
from curate.schemas.scores import SIGNALS
from curate.schemas.targets import SOLVED
from curate.selectors.candidates import find_candidates, set_aside
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import best_first
from curate.selectors.validation import check_choice

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool

IMPORTED = "imported"
"""Name under which a pool holds an imported signal."""
SAMPLED = "solved"
"""Name under which a pool holds a signal that is read from samples."""


@dataclass(frozen=True)
class BySignalSettings:
    """Settings of `select`."""

    signal: str = option(
        "", "Signal to rank by: an imported one, one that scoring computes, or solved_original, solved_compressed or "
        "solved_gap of curate sample.",
    )  # fmt: skip
    prefer: Literal["high", "low"] = option("high", "End of the signal to keep: high or low.")
    source: str = option("", "Id of the scores artefact that holds the imported signal.")
    """Resolved by the caller, who puts the values into the pool's signal ``imported``, or ``solved`` for samples."""

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, naming the flag."""
        check_choice("--prefer", self.prefer, ("high", "low"))

    @property
    def sampled(self) -> bool:
        """Whether the signal is read from samples."""
        return self.signal in SOLVED

    @property
    def imported(self) -> bool:
        """Whether the signal was imported."""
        return self.signal not in SIGNALS and not self.sampled

    @property
    def held_as(self) -> str:
        """Name of the signal in a pool."""
        return IMPORTED if self.imported else SAMPLED if self.sampled else self.signal


def needs(settings: BySignalSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool; token counts come from scoring.

    Raises
    ------
    UsageError
        If `settings` name no signal.
    """
    if not settings.signal:
        known = ", ".join((*SIGNALS, *SOLVED))
        raise UsageError(f"by-signal needs --signal NAME: an imported signal, or one of {known}")
    computed = settings.signal in SIGNALS
    return frozenset({settings.held_as} | ({"tokens"} if in_tokens or computed else set()))


def select(pool: Pool, budget: int, in_tokens: bool, settings: BySignalSettings, rng: np.random.Generator) -> Decision:
    """Return the rows at the preferred end; rows without a value get the reason ``filtered:no_value``.

    Other parameters are those of `curate.selectors.methods.paser.select`; `rng` is not used.

    Raises
    ------
    UsageError
        If `settings` name no signal, or scoring did not compute it.
    InputError
        If no row that may be kept has a value.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "by-signal")
    score = pool.signals[settings.held_as][candidates.rows] * (1.0 if settings.prefer == "high" else -1.0)
    # Other signals than computed ones, which `find_candidates` checks, may cover a part of the corpus only.
    without = ~np.isfinite(score)
    if without.all() and not len(candidates.pins):
        raise InputError(f"no row that may be kept has a value of {settings.signal!r}; {_remedy(settings)}")
    return take_in_order(
        set_aside(candidates, without, "no_value"), best_first(score[~without]), budget, score[~without]
    )


def _remedy(settings: BySignalSettings) -> str:
    return "sample a selection that has them" if settings.sampled else "import values for this corpus"
