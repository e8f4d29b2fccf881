"""Every selection method by name: its settings, its function, and what of a pool it reads.

Adding a method is a file beside this one and a line here. Nothing registers itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError, did_you_mean
from curate.selectors.methods import (
    anchored,
    by_signal,
    donod,
    full,
    high_nll,
    ifd,
    k_center,
    length_matched,
    longest,
    paser,
    uniform,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from curate.schemas.selection import Pool, Selection


@dataclass(frozen=True)
class Entry:
    """One selection method."""

    settings: type[Any]
    """Frozen dataclass of its settings; every field has a default."""
    select: Callable[[Pool, int, bool, Any, np.random.Generator], Selection]
    """``select(pool, budget, in_tokens, settings, rng)``, pure."""
    needs: Callable[[Any, bool], frozenset[str]]
    """``needs(settings, in_tokens)``: of ``clusters``, ``concepts``, ``embeddings``, ``scores`` (token counts),
    ``reference`` (another selection), ``imported`` (a user's own signal) and the names of signals, those that `select`
    reads."""


SELECTORS: Mapping[str, Entry] = {
    "paser": Entry(paser.PaserSettings, paser.select, paser.needs),
    "donod": Entry(donod.DonodSettings, donod.select, donod.needs),
    "anchored": Entry(anchored.AnchoredSettings, anchored.select, anchored.needs),
    "uniform": Entry(uniform.UniformSettings, uniform.select, uniform.needs),
    "length-matched": Entry(length_matched.LengthMatchedSettings, length_matched.select, length_matched.needs),
    "longest": Entry(longest.LongestSettings, longest.select, longest.needs),
    "high-nll": Entry(high_nll.HighNllSettings, high_nll.select, high_nll.needs),
    "ifd": Entry(ifd.IfdSettings, ifd.select, ifd.needs),
    "k-center": Entry(k_center.KCenterSettings, k_center.select, k_center.needs),
    "by-signal": Entry(by_signal.BySignalSettings, by_signal.select, by_signal.needs),
    "full": Entry(full.FullSettings, full.select, full.needs),
}


def selector(name: str) -> Entry:
    """Return the method called `name`.

    Raises
    ------
    UsageError
        If there is none, naming the nearest.
    """
    if name not in SELECTORS:
        raise UsageError(f"--method {name!r} is unknown{did_you_mean(name, tuple(SELECTORS))}")
    return SELECTORS[name]
