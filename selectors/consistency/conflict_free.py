"""Selection without concept conflicts: offers rows cluster by cluster, then fills what refusals leave unspent.

Source: PASER, arXiv 2502.12594 §3.3. Departures: refused rows are taken back, fewest conflicts first, where a cluster
cannot spend its budget otherwise, and budget that clusters leave unspent goes to the remaining rows; the paper leaves
both unspent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.selectors.consistency.graph import ConceptGraph, ConceptLists, concept_lists
from curate.selectors.consistency.offers import offer, offer_discounted, refill
from curate.selectors.consistency.pairs import Screen, check_refused
from curate.selectors.ranking.orders import round_robin
from curate.selectors.row_costs import first_fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.budgets.strata import Strata, StrataPlan
    from curate.selectors.candidates import Candidates

Mode = Literal["expected", "strict", "soft"]


@dataclass(frozen=True)
class Taken:
    """Rows kept and refused, as positions in ``candidates.rows``."""

    order: NDArray[np.int64]
    """Kept rows except pins, in the order of taking."""
    filled: NDArray[np.int64]
    """Rows of `order` that were refused first and then taken back."""
    refused: NDArray[np.int64]
    """Refused rows that were not taken back."""
    rival: NDArray[np.int64]
    """Pool row of an accepted row that each of `refused` conflicts with."""


_FEW_REFUSALS = 1.0
"""λ from which so few rows are refused that screening costs more time than it saves."""
_NONE = np.empty(0, dtype=np.int64)


def take_conflict_free(
    candidates: Candidates,
    strata: Strata,
    plan: StrataPlan,
    score: NDArray[np.float64],
    concepts: tuple[NDArray[np.int64], NDArray[np.int32]],
    mode: Mode,
    expectation: float,
    fill: bool,
) -> Taken:
    """Return the rows taken, filled and refused.

    Parameters
    ----------
    candidates, strata, plan
        The candidates by cluster, and the budget of each cluster. Pins enter the graph first, without a check.
    score : ndarray of shape (m,)
        Larger = offered earlier inside a cluster and inside a round, >= 0, ties by example id.
    concepts : (offsets, values)
        Concept ids of the whole pool, as in `Pool`.
    mode : {"expected", "strict", "soft"}
        ``strict`` sets `expectation` to 0; ``soft`` lowers scores instead of refusing.
    expectation : float
        λ of `ConceptGraph`.
    fill : bool
        Take refused rows back if a cluster has budget left. Otherwise, if any row was refused, what clusters leave
        unspent stays unspent.
    """
    rows = np.concatenate([candidates.rows, candidates.pins])
    lists = concept_lists(*concepts, rows, 0.0 if mode == "strict" else expectation)
    state = _OfferState(candidates, score, lists, 0.0 if mode == "strict" else expectation)
    queue, remaining = round_robin(strata.of, score), plan.budget - strata.lower
    if mode == "soft":
        taken = offer_discounted(state.graph, lists, score, strata.of, state.cost, remaining)
        others = _without(queue, taken)
        late = others[first_fit(state.cost[others], int(remaining.sum()))]
        return Taken(np.append(taken, late), _NONE, _NONE, _NONE)
    first = state.run(queue, strata.of, remaining, fill)
    if not remaining.any() or (len(first.refused) and not fill):
        return state.conclude([first])
    # Budgets in tokens are rarely spent exactly. What all clusters leave is offered to the rows not reached yet, as one
    # stratum; only then do rows refused in the first pass get it, since each of them costs consistency.
    others, one_stratum = _without(queue, np.append(first.taken, first.refused)), np.zeros(len(score), dtype=np.int64)
    pooled = remaining.sum(keepdims=True)
    second = state.run(others, one_stratum, pooled, fill)
    left = ~np.isin(first.refused, first.filled)
    back = refill(first.refused[left], first.conflicts[left], score, one_stratum, state.cost, pooled) if fill else _NONE
    return state.conclude([first, second], back)


@dataclass(frozen=True)
class _OfferPass:
    """Outcome of one pass over a queue, as positions."""

    taken: NDArray[np.int64]
    filled: NDArray[np.int64]
    refused: NDArray[np.int64]
    """Rows refused at their turn, including those taken back later."""
    conflicts: NDArray[np.int64]
    rival: NDArray[np.int64]


class _OfferState:
    """The concept graph as it grows over the passes of one selection."""

    def __init__(
        self, candidates: Candidates, score: NDArray[np.float64], lists: ConceptLists, expectation: float
    ) -> None:
        self.cost = candidates.cost[candidates.rows]
        self.graph = ConceptGraph(lists.n_concepts, expectation)
        self._screen = Screen(lists.n_concepts, expectation) if expectation < _FEW_REFUSALS else None
        self._score, self._lists, self._expectation = score, lists, expectation
        self._accepted = np.arange(len(candidates.rows), len(lists.rows))
        for concepts in lists.of(self._accepted):
            self.graph.accept(concepts)
        if self._screen is not None:
            self._screen.learn(lists, self._accepted)

    def run(
        self, queue: NDArray[np.int64], stratum: NDArray[np.int64], remaining: NDArray[np.int64], fill: bool
    ) -> _OfferPass:
        """Offer a queue, then take refused rows back while budget is left; `remaining` is reduced in place."""
        taken, refused = offer(self.graph, self._screen, self._lists, queue, stratum, self.cost, remaining)
        self._accepted = np.append(self._accepted, taken)
        # Rows taken back do not enter the graph: they contradict it, and would license further rows that do.
        verdict = check_refused(self._lists, self._accepted, refused, self._expectation)
        filled = refill(refused, verdict.conflicts, self._score, stratum, self.cost, remaining) if fill else _NONE
        return _OfferPass(taken, filled, refused, verdict.conflicts, verdict.rival)

    def conclude(self, runs: list[_OfferPass], back: NDArray[np.int64] = _NONE) -> Taken:
        """Return the passes combined, followed by the rows taken `back` last."""
        filled = np.concatenate([*(run.filled for run in runs), back])
        refused = np.concatenate([run.refused for run in runs])
        rival = np.concatenate([run.rival for run in runs])
        order = np.concatenate([*(part for run in runs for part in (run.taken, run.filled)), back])
        out = ~np.isin(refused, filled)
        return Taken(order, filled, refused[out], self._lists.rows[rival[out]])


def _without(queue: NDArray[np.int64], excluded: NDArray[np.int64]) -> NDArray[np.int64]:
    return queue[~np.isin(queue, excluded)]
