"""Cost of rows in the budget's unit, and first-fit filling of a budget.

Budgets in rows and in tokens share all code: a row costs 1, or its prompt and response tokens after truncation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Pool


def row_costs(pool: Pool, in_tokens: bool) -> NDArray[np.int64]:
    """Return the cost of every row, shape (n,): its prompt and response tokens, or 1 for budgets in rows."""
    if in_tokens:
        return pool.n_prompt_tokens.astype(np.int64) + pool.n_response_tokens.astype(np.int64)
    return np.ones(len(pool), dtype=np.int64)


def first_fit(cost: NDArray[np.int64], budget: int) -> NDArray[np.bool_]:
    """Return which rows of a queue are taken if every row that fits the remaining budget is taken.

    Parameters
    ----------
    cost : ndarray of shape (m,)
        Cost of each row in the order of the queue, >= 0.
    budget : int
        Upper bound of the total cost, >= 0.

    Returns
    -------
    ndarray of shape (m,), bool
        The taken rows cost at most `budget` together. A row is skipped only if it costs more than what remains at its
        turn; so if any row is skipped, less than the cost of the most expensive row remains at the end.
    """
    taken = np.zeros(len(cost), dtype=np.bool_)
    queue, left = np.arange(len(cost)), budget
    # The remaining budget only shrinks, so a row that does not fit now never will. Among the rows that do, the longest
    # prefix whose cumulative cost fits is taken at once: a few array operations instead of a loop over a million rows.
    while (queue := queue[cost[queue] <= left]).size:
        spent = np.cumsum(cost[queue])
        n_fit = int(np.searchsorted(spent, left, side="right"))
        taken[queue[:n_fit]] = True
        left -= int(spent[n_fit - 1])
        queue = queue[n_fit:]
    return taken


def first_fit_within(
    group: NDArray[np.int64], cost: NDArray[np.int64], remaining: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which rows of a queue are taken if each group spends its own `remaining` budget, by `first_fit`.

    `group` (from 0) and `cost` have shape (m,) in the order of the queue; `remaining` has one entry per group.
    """
    taken = np.zeros(len(group), dtype=np.bool_)
    # Stable: the order of the queue inside a group must survive.
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(remaining)))
    for members, budget in zip(np.split(order, ends[:-1]), remaining.tolist(), strict=True):
        taken[members] = first_fit(cost[members], budget)
    return taken
