"""The side table ``allocation`` of a selection: what each cluster or group was given, and what was kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.budgets.strata import Strata, StrataPlan


def allocation_table(
    strata: Strata,
    plan: StrataPlan,
    taken: NDArray[np.int64],
    filled: NDArray[np.int64] | None = None,
    refused: NDArray[np.int64] | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return the rows of the side table ``allocation``, by number of the cluster or group.

    `taken` holds the positions of all kept rows except pins, `filled` those of them that had been refused first, and
    `refused` the rows left out as conflicting.
    """
    empty = np.empty(0, dtype=np.int64)
    k = len(strata.label)

    def count(*stratum: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(np.concatenate(stratum), minlength=k)

    columns = {
        "cluster": strata.label,
        "size": strata.size,
        "eligible": count(strata.of, strata.of_pins),
        "degradation": plan.degradation,
        "budget": plan.budget.astype(np.float64),
        "kept": count(strata.of[taken], strata.of_pins),
        "filled": count(strata.of[empty if filled is None else filled]),
        "refused": count(strata.of[empty if refused is None else refused]),
        "ceiling": np.full(k, np.nan) if plan.ceiling is None else plan.ceiling,
        "tau": np.full(k, np.nan) if plan.tau is None else plan.tau,
    }
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]
    # Parquet distinguishes null from NaN; unknown values are null in the ledger's tables.
    for row in rows:
        row |= {name: None for name in ("degradation", "ceiling", "tau") if np.isnan(row[name])}
        row["group"] = strata.names[row["cluster"]] if strata.names else None
    return tuple(sorted(rows, key=lambda row: int(row["cluster"])))
