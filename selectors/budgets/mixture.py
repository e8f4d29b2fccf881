"""Selection from groups of rows by one score: the shares of the mixture, then the best rows of each group in turn.

What `coverage` and `rds` have in common: their settings, and the steps from a score to a decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from curate.schemas.defaults import option
from curate.selectors.budgets.allocation_table import allocation_table
from curate.selectors.budgets.groups import GROUPS_ABOUT, Groups, check_groups, group_needs
from curate.selectors.budgets.strata import (
    ALLOCATION_SIGNALS,
    Allocation,
    group_candidates,
    plan_strata,
    take_best,
)
from curate.selectors.budgets.tempered import GAMMA, GAMMA_ABOUT
from curate.selectors.candidates import Candidates, find_candidates, required, set_aside
from curate.selectors.decision import decide
from curate.selectors.validation import check_choice, check_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.schemas.selection import Decision, Pool, RowVectors


@dataclass(frozen=True)
class MixtureSettings:
    """Settings of methods that rank rows by a vector inside each group."""

    allocation: Allocation = option(
        "tempered", "Budget per group: degradation, tempered, proportional, uniform or recoverability."
    )
    gamma: float = option(GAMMA, GAMMA_ABOUT)
    groups: Groups = option("cluster", GROUPS_ABOUT)
    target: str = option("", "File of rows to be like, instead of the groups; scored with the same models.")

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, naming the flag."""
        check_choice("--allocation", self.allocation, get_args(Allocation))
        check_number("--gamma", self.gamma, 0.0, 1.0)
        check_groups(self.groups, self.allocation)


def mixture_needs(settings: MixtureSettings) -> frozenset[str]:
    """Return what dividing the budget reads of a pool: nothing with a target, of which there is one."""
    if settings.target:
        return frozenset({"tokens"})
    return group_needs(settings.groups) | ALLOCATION_SIGNALS.get(settings.allocation, frozenset()) | {"tokens"}


def vector_candidates(pool: Pool, in_tokens: bool, needs: frozenset[str], method: str) -> tuple[Candidates, RowVectors]:
    """Return the candidates that have a vector, and the vectors of all rows."""
    candidates = find_candidates(pool, in_tokens, needs, method)
    vectors = required(pool.vectors, "sketches", method)
    missing = ~np.isfinite(vectors.unit[candidates.rows, 0].astype(np.float64) + vectors.length[candidates.rows])
    return set_aside(candidates, missing, "non_finite:sketch"), vectors


def take_in_shares(
    pool: Pool,
    candidates: Candidates,
    budget: int,
    settings: MixtureSettings,
    method: str,
    score_of: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> Decision:
    """Return the decision that takes the best rows of each group, groups in turn, within the shares of the mixture.

    `score_of` maps the group of each candidate, shape (m,), to the candidates' scores, larger = taken earlier.
    """
    strata = group_candidates(pool, candidates, method)
    plan = plan_strata(candidates, strata, pool.signals, settings.allocation, budget, settings.gamma)
    score = score_of(strata.of)
    taken = take_best(candidates, strata, plan, score)
    table = allocation_table(strata, plan, taken)
    return decide(candidates, taken, budget, score=score, allocation=table, warnings=plan.warnings)
