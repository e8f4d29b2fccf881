"""Length-matched: draws rows at random with the same histogram of token lengths as another selection.

Rows are binned by b = ⌊(prompt + response tokens) / width⌋. Bin b gets n_b ∝ what the other selection spends there,
water-filled where a bin has too few rows (`curate.selectors.budgets.allocation`), and is drawn from at random.

Source: ours, a control: a method that merely prefers long or short rows does not beat it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.schemas.defaults import option
from curate.schemas.errors import UsageError
from curate.selectors.budgets.allocation import allocate
from curate.selectors.budgets.strata import StrataPlan, group_by_cluster, take_best
from curate.selectors.candidates import budget_after_pins, find_candidates
from curate.selectors.decision import decide
from curate.selectors.validation import check_number

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool

REFERENCE = "reference"
"""Name of the signal that marks the rows of the other selection: 1 where it keeps a row, 0 elsewhere."""


@dataclass(frozen=True)
class LengthMatchedSettings:
    """Settings of `select`."""

    like: str = option("", "Selection whose token lengths are matched, an artefact id.")
    """Resolved by the caller, who marks its kept rows in the pool's signal ``reference``; here only the digest of the
    settings uses it."""
    bin_tokens: int = option(16, "Width of a bin of the length histogram in tokens, at least 1.")

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, naming the flag."""
        check_number("--bin-tokens", self.bin_tokens, 1, 1_000_000)


def needs(settings: LengthMatchedSettings, in_tokens: bool) -> frozenset[str]:
    """Return what `select` reads from a pool."""
    return frozenset({"tokens", REFERENCE})


def select(
    pool: Pool, budget: int, in_tokens: bool, settings: LengthMatchedSettings, rng: np.random.Generator
) -> Decision:
    """Return a draw that matches the lengths of the selection marked in ``pool.signals["reference"]``.

    Other parameters and errors are those of `curate.selectors.methods.paser.select`.

    Raises
    ------
    UsageError
        If there is no selection to match, or it keeps no row.
    """
    marks = pool.signals.get(REFERENCE)
    if marks is None or not (marks > 0).any():
        raise UsageError("length-matched needs a selection to match that keeps at least one row; name it with --like")
    candidates = find_candidates(pool, in_tokens, needs(settings, in_tokens), "length-matched")
    budget_after_pins(candidates, budget)
    bins = ((pool.n_prompt_tokens + pool.n_response_tokens) // settings.bin_tokens).astype(np.int32)
    strata = group_by_cluster(candidates, bins)
    kept = np.flatnonzero(marks > 0)
    # Bins take the place of clusters: the same water-filling and rounding as for a budget over clusters.
    spent = np.bincount(bins[kept], weights=candidates.cost[kept], minlength=int(bins.max()) + 1)
    budgets = allocate(spent[strata.label].astype(np.float64), strata.lower, strata.upper, budget)
    plan = StrataPlan(np.full(len(budgets), np.nan), budgets)
    taken = take_best(candidates, strata, plan, rng.random(len(candidates.rows)))
    return decide(candidates, taken, budget)
