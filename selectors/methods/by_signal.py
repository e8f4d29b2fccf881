"""By signal: keeps the rows with the largest, or the smallest, values of one signal.

Score = ±signal, by ``--prefer``. The signal is one that scoring computes, or one that the user imported with
`curate import-scores`: the way in for a reward model, human ratings or another paper's method. Source: ours. Which end
is better depends on the signal, so the user chooses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.schemas.defaults import option
from curate.schemas.errors import InputError, UsageError
from curate.schemas.scores import SIGNALS
from curate.selectors.candidates import find_candidates, set_aside
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import best_first
from curate.selectors.validation import check_choice

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool

IMPORTED = "imported"
"""Name under which a pool holds an imported signal."""


@dataclass(frozen=True)
class BySignalSettings:
    """Settings of `select`."""

    signal: str = option("", "Signal to rank by: an imported one, or one that scoring computes.")
    prefer: Literal["high", "low"] = option("high", "End of the signal to keep: high or low.")
    source: str = option("", "Id of the scores artefact that holds the imported signal.")
    """Resolved by the caller, who puts the values into the pool's signal ``imported``."""

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, naming the flag."""
        check_choice("--prefer", self.prefer, ("high", "low"))

    @property
    def imported(self) -> bool:
        """Whether the signal was imported rather than computed by scoring."""
        return self.signal not in SIGNALS


def needs(settings: BySignalSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool; token counts come from scoring.

    Raises
    ------
    UsageError
        If `settings` name no signal.
    """
    if not settings.signal:
        raise UsageError("by-signal needs --signal NAME: an imported signal, or one of " + ", ".join(SIGNALS))
    read = {IMPORTED} if settings.imported else {"scores", settings.signal}
    return frozenset(read | ({"scores"} if in_tokens else set()))


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
    name = IMPORTED if settings.imported else settings.signal
    score = pool.signals[name][candidates.rows] * (1.0 if settings.prefer == "high" else -1.0)
    # An imported signal may cover part of the corpus only: `find_candidates` checks computed signals alone.
    without = ~np.isfinite(score)
    if without.all() and not len(candidates.pins):
        raise InputError(f"no row that may be kept has a value of {settings.signal!r}; import values for this corpus")
    return take_in_order(
        set_aside(candidates, without, "no_value"), best_first(score[~without]), budget, score[~without]
    )
