"""Registry of selection methods: name to settings, function and inputs.

To add a method, add a module to `curate.selectors.methods` and an entry here. Nothing registers itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError, did_you_mean
from curate.selectors.methods import (
    anchored,
    by_signal,
    coverage,
    donod,
    full,
    high_nll,
    ifd,
    k_center,
    length_matched,
    longest,
    paser,
    rds,
    uniform,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from curate.schemas.selection import Decision, Pool


@dataclass(frozen=True)
class SelectionMethod:
    """One selection method."""

    settings: type[Any]
    """Frozen dataclass of its settings; every field has a default."""
    select: Callable[[Pool, int, bool, Any, np.random.Generator], Decision]
    """``select(pool, budget, in_tokens, settings, rng)``, a pure function."""
    needs: Callable[[Any, bool], frozenset[str]]
    """``needs(settings, in_tokens)``: what `select` reads: names of signals and any of ``clusters``, ``concepts``,
    ``groups``, ``embeddings``, ``gradients``, ``states``, ``tokens`` (counts), ``reference`` (another selection),
    ``imported`` (an imported signal), ``solved`` (one read from samples)."""
    version: int = 1
    """Raised by hand when the method keeps other rows than before; above 1 it is part of the ids of its selections."""


SELECTORS: Mapping[str, SelectionMethod] = {
    "paser": SelectionMethod(paser.PaserSettings, paser.select, paser.needs),
    "donod": SelectionMethod(donod.DonodSettings, donod.select, donod.needs),
    "anchored": SelectionMethod(anchored.AnchoredSettings, anchored.select, anchored.needs),
    "coverage": SelectionMethod(coverage.CoverageSettings, coverage.select, coverage.needs),
    "rds": SelectionMethod(rds.RdsSettings, rds.select, rds.needs),
    "uniform": SelectionMethod(uniform.UniformSettings, uniform.select, uniform.needs, version=2),
    "length-matched": SelectionMethod(
        length_matched.LengthMatchedSettings, length_matched.select, length_matched.needs
    ),
    "longest": SelectionMethod(longest.LongestSettings, longest.select, longest.needs),
    "high-nll": SelectionMethod(high_nll.HighNllSettings, high_nll.select, high_nll.needs),
    "ifd": SelectionMethod(ifd.IfdSettings, ifd.select, ifd.needs),
    "k-center": SelectionMethod(k_center.KCenterSettings, k_center.select, k_center.needs),
    "by-signal": SelectionMethod(by_signal.BySignalSettings, by_signal.select, by_signal.needs),
    "full": SelectionMethod(full.FullSettings, full.select, full.needs),
}


def selector(name: str) -> SelectionMethod:
    """Return the method called `name`.

    Raises
    ------
    UsageError
        If there is none; the message names the most similar one.
    """
    if name not in SELECTORS:
        raise UsageError(f"--method {name!r} is unknown{did_you_mean(name, tuple(SELECTORS))}")
    return SELECTORS[name]
