"""By signal: the rows with the most, or the least, of one number, the user's own or one of ours.

The door for judgements made elsewhere (a reward model, a human, another paper): `curate import-scores` brings them in.
Larger is not better by nature; the user says which end to keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.schemas.errors import InputError, UsageError
from curate.schemas.scores import SIGNALS
from curate.selectors.candidates import find_candidates, set_aside
from curate.selectors.decision import take_in_order
from curate.selectors.ranking.orders import best_first
from curate.selectors.validation import check_choice

if TYPE_CHECKING:
    from curate.schemas.selection import Pool, Selection

IMPORTED = "imported"
"""Name under which a pool holds a user's own signal."""


@dataclass(frozen=True)
class BySignalSettings:
    """Settings of `select`."""

    signal: str = ""
    """Name of an imported signal, or of one that scoring computes."""
    prefer: Literal["high", "low"] = "high"
    """Which end to keep."""
    source: str = ""
    """Scores artefact of an imported signal; the caller resolves it, and puts its values into the pool's signal
    ``imported``."""

    def __post_init__(self) -> None:
        """Refuse values that cannot mean anything, naming the flag."""
        check_choice("--prefer", self.prefer, ("high", "low"))

    @property
    def imported(self) -> bool:
        """Whether the signal is the user's own."""
        return self.signal not in SIGNALS


def needs(settings: BySignalSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads of a pool; token counts come from scoring.

    Raises
    ------
    UsageError
        If no signal was named.
    """
    if not settings.signal:
        raise UsageError("by-signal needs --signal NAME: an imported signal, or one of " + ", ".join(SIGNALS))
    wanted = {IMPORTED} if settings.imported else {"scores", settings.signal}
    return frozenset(wanted | ({"scores"} if in_tokens else set()))


def select(pool: Pool, budget: int, in_tokens: bool, settings: BySignalSettings, rng: np.random.Generator) -> Selection:
    """Return the rows at the preferred end; rows without a value are told ``filtered:no_value``.

    Other parameters are those of `curate.selectors.methods.paser.select`; `rng` is not read.

    Raises
    ------
    UsageError
        If no signal was named, or scoring did not compute it.
    InputError
        If no row that may be kept has a value.
    """
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "by-signal")
    name = IMPORTED if settings.imported else settings.signal
    score = pool.signals[name][candidates.rows] * (1.0 if settings.prefer == "high" else -1.0)
    without = ~np.isfinite(score)
    if without.all() and not len(candidates.pins):
        raise InputError(f"no row that may be kept has a value of {settings.signal!r}; import values for this corpus")
    return take_in_order(
        set_aside(candidates, without, "no_value"), best_first(score[~without]), budget, score[~without]
    )
