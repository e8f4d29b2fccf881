"""Candidates of a selection: the rows of a pool that may be kept, and the ledger reasons of the others.

Rows that an earlier stage ruled out keep its reason; rows without a finite value of a signal that the method reads get
``filtered:non_finite:<signal>``; pinned rows are kept without competing. All rows are in order of example id, so that
no decision depends on the order of the corpus.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from curate.schemas.errors import InputError, UsageError
from curate.schemas.scores import SIGNALS
from curate.schemas.selection import BUDGET, EXCLUDED
from curate.selectors.row_costs import row_costs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from curate.schemas.selection import Pool

T = TypeVar("T")

_OLD_SCORES = "scores of an earlier version lack it, so delete their folder (see `curate status`) and score again"

_REMEDY = {
    "cds": "score with a pair of models (--original and --compressed)",
    "nll_original": "score with a pair of models (--original and --compressed)",
    "ifd": "score with it (curate score --ifd)",
    "positive_excess": f"score with a pair of models; {_OLD_SCORES}",
    "unlikely_share": f"score with a pair of models; {_OLD_SCORES}",
}


@dataclass(frozen=True)
class Candidates:
    """The rows that may be kept, and the reasons of all others."""

    rows: NDArray[np.int64]
    """Pool rows that compete, shape (m,), by example id; pins are not among them."""
    pins: NDArray[np.int64]
    """Pool rows that are kept whatever their score, shape (p,), by example id."""
    cost: NDArray[np.int64]
    """Cost of every row of the pool, shape (n,), in the budget's unit."""
    reason: NDArray[np.object_]
    """Ledger reason of every row of the pool so far; ``budget`` for `rows` and `pins`."""
    in_tokens: bool
    warnings: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """``"tokens"`` or ``"rows"``."""
        return "tokens" if self.in_tokens else "rows"


def find_candidates(pool: Pool, in_tokens: bool, needs: Iterable[str], method: str) -> Candidates:
    """Return the rows of `pool` that `method` may keep.

    Parameters
    ----------
    pool : Pool
        The corpus and its signals.
    in_tokens : bool
        True if rows cost their tokens.
    needs : iterable of str
        What the method reads, as its registry entry declares it. Of these, signals must be finite in every competing
        row; rows without get the reason ``filtered:non_finite:<signal>``.
    method : str
        Name of the method, for messages.

    Raises
    ------
    UsageError
        If a signal was not computed at all.
    InputError
        If no row can be kept.
    """
    reason = np.where(pool.eligible, BUDGET, np.where(pool.reason == "", EXCLUDED, pool.reason)).astype(np.object_)
    if not pool.eligible.any():
        if all(str(one).startswith("non_finite:") for one in reason):
            raise InputError(
                f"the models give no finite numbers: {_count_reasons(reason)}; check the weights of both models for "
                "NaN and infinity, or score with --dtype float32"
            )
        raise InputError(f"no row of the corpus can be selected: {_count_reasons(reason)}; fix or extend the corpus")
    # Pins are not filtered by signals: the user decided on them, and they are not ranked.
    pinned = np.zeros(len(pool), dtype=np.bool_) if pool.pinned is None else pool.pinned
    competes = pool.eligible & ~pinned
    for name in (name for name in SIGNALS if name in needs):
        unusable = competes & ~np.isfinite(_signal(pool, name, method))
        reason[unusable] = f"filtered:non_finite:{name}"
        competes &= ~unusable
    pins = pool.eligible & pinned
    if not (competes | pins).any():
        raise InputError(f"no row of the corpus can be selected by {method}: {_count_reasons(reason)}; score it again")
    return Candidates(
        rows=_by_id(pool, competes),
        pins=_by_id(pool, pins),
        cost=row_costs(pool, in_tokens),
        reason=reason,
        in_tokens=in_tokens,
        warnings=_ineligible_pins(reason, pinned & ~pool.eligible),
    )


def set_aside(candidates: Candidates, dropped: NDArray[np.bool_], rule: str) -> Candidates:
    """Return `candidates` without the rows where `dropped` (shape (m,)), which get the reason ``filtered:<rule>``."""
    reason = candidates.reason.copy()
    reason[candidates.rows[dropped]] = f"filtered:{rule}"
    return replace(candidates, rows=candidates.rows[~dropped], reason=reason)


def budget_after_pins(candidates: Candidates, budget: int) -> int:
    """Return what remains of `budget` after the pinned rows.

    Raises
    ------
    UsageError
        If the pinned rows alone cost more.
    """
    pinned = int(candidates.cost[candidates.pins].sum())
    if pinned > budget:
        raise UsageError(
            f"--pin: the {len(candidates.pins)} pinned rows cost {pinned} {candidates.unit}, "
            f"more than the budget of {budget}; pin fewer rows or raise --budget"
        )
    return budget - pinned


def required(part: T | None, name: str, method: str) -> T:
    """Return `part` of a pool (clusters, concepts or embeddings), or raise InputError if it is None."""
    if part is None:
        raise InputError(f"{method} needs {name}, which this corpus does not have yet; run that stage first")
    return part


def _signal(pool: Pool, name: str, method: str) -> NDArray[np.float64]:
    """Return one signal, or raise UsageError if no eligible row has a value."""
    values = pool.signals.get(name)
    # A column of NaN is how a signal looks that scoring left out; infinities are values that failed for a row.
    if values is None or bool(np.isnan(values[pool.eligible]).all()):
        remedy = _REMEDY.get(name, "score the corpus again")
        raise UsageError(f"{method} needs the signal {name!r}, which the scores do not hold; {remedy}")
    return values


def _by_id(pool: Pool, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(mask)
    return rows[np.argsort(pool.example_id[rows], kind="stable")]


def _count_reasons(reason: NDArray[np.object_]) -> str:
    counts = Counter(reason.tolist()).most_common(5)
    return ", ".join(f"{count} {name}" for name, count in counts) or "it has no rows"


def _ineligible_pins(reason: NDArray[np.object_], mask: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return the warning about pinned rows that an earlier stage ruled out, where there are any."""
    if not mask.any():
        return ()
    return (f"{int(mask.sum())} pinned rows are not eligible and were left out: {_count_reasons(reason[mask])}",)
