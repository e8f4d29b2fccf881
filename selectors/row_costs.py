"""What a row costs and which rows of a queue still fit (METHODS §3).

Rows and tokens are one code with a different cost per row: 1, or the prompt and response tokens after truncation.
Knows nothing of why the queue has its order.
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
    """Return which rows of a queue are taken when each row that still fits is taken.

    Parameters
    ----------
    cost : ndarray of shape (m,)
        Cost of each row, first in the queue first, >= 0.
    budget : int
        What may be spent, >= 0, in the unit of `cost`.

    Returns
    -------
    ndarray of shape (m,), bool
        The taken rows cost at most `budget` together. A row is passed over only when it costs more than what is left
        then, hence, where any row is passed over, less than the dearest row is left at the end.
    """
    taken = np.zeros(len(cost), dtype=np.bool_)
    queue, left = np.arange(len(cost)), budget
    # What is left only shrinks, so a row that does not fit now never will: a whole prefix is settled at a time.
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
    """Return which rows of a queue are taken when each group spends its own `room`, by `first_fit`.

    `group` (from 0) and `cost` have shape (m,), first in the queue first; `room` has one entry per group.
    """
    taken = np.zeros(len(group), dtype=np.bool_)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(remaining)))
    for members, budget in zip(np.split(order, ends[:-1]), remaining.tolist(), strict=True):
        taken[members] = first_fit(cost[members], budget)
    return taken
