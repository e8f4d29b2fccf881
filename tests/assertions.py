"""Assertions about selections, with messages that name the violated rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from curate.schemas.selection import Decision, Pool


def assert_valid_selection(
    selection: Decision, pool: Pool, budget: int, in_tokens: bool, *, may_fall_short: bool = False
) -> None:
    """Fail unless `selection` decides every row of `pool` and spends `budget` as docs/methods.md promises.

    `may_fall_short` allows unspent budget while rows are left (PASER with ``fill=False``).
    """
    n = len(pool)
    assert all(len(column) == n for column in (selection.reason, selection.related, selection.score))
    kept = np.zeros(n, dtype=bool)
    kept[selection.order] = True
    assert kept.sum() == len(selection.order), "a row is kept twice"
    assert not kept[~pool.eligible].any(), "a row that is not eligible is kept"
    reasons = selection.reason.tolist()
    assert all(isinstance(reason, str) and reason for reason in reasons), "a row has no reason"
    assert np.array_equal(selection.reason == "selected", kept), "reason 'selected' and the kept rows differ"
    screened = ~pool.eligible & (pool.reason != "")
    assert np.array_equal(selection.reason[screened], pool.reason[screened]), "an ineligible row lost its reason"
    conflict = selection.reason == "conflict"
    assert (selection.related[~conflict] == -1).all(), "a row without a conflict names a related row"
    assert kept[selection.related[conflict]].all(), "a conflicting row names a row that is not kept"
    if pool.pinned is not None:
        pins = np.flatnonzero(pool.pinned & pool.eligible)
        assert set(pins) == set(selection.order[: len(pins)]), "pinned rows are not kept first"
    cost = pool.n_prompt_tokens + pool.n_response_tokens if in_tokens else np.ones(n, dtype=np.int64)
    spent = int(cost[kept].sum())
    assert spent <= budget, f"{spent} spent of {budget}"
    remaining = (selection.reason == "budget") | conflict
    if remaining.any() and not may_fall_short:
        assert budget - spent < cost[pool.eligible].max(), f"{budget - spent} unspent, more than the cost of any row"
        assert in_tokens or spent == budget, f"{budget - spent} rows unspent while rows are left"
    _assert_allocation(selection, budget)


def _assert_allocation(selection: Decision, budget: int) -> None:
    rows = selection.allocation
    if not rows:
        return
    assert sum(row["kept"] for row in rows) == len(selection.order)
    assert sum(row["refused"] for row in rows) == int((selection.reason == "conflict").sum())
    assert sum(row["budget"] for row in rows) <= budget
    for row in rows:
        assert 0 <= row["filled"] <= row["kept"] <= row["eligible"] <= row["size"], row
