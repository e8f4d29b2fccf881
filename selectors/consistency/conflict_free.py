"""PASER's whole pass with a concept graph: offer by cluster, take back what was refused too often, close the gap.

Ties `consistency` to strata and budgets. Knows nothing of how rows are scored.
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
    """What a pass decided, as places in ``candidates.rows``."""

    order: NDArray[np.int64]
    """Kept rows but pins, in the order in which they were taken."""
    filled: NDArray[np.int64]
    """Those of `order` that had been refused and were taken back."""
    refused: NDArray[np.int64]
    """Refused rows that were not."""
    rival: NDArray[np.int64]
    """Pool row of the accepted row that spoke against each of `refused`."""


_FEW_REFUSALS = 1.0
"""λ from which so few rows are refused that screening costs more than it saves."""
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
        The rows that compete, by cluster, and what each cluster may spend. Pins are accepted first, unasked.
    score : ndarray of shape (m,)
        Larger = offered earlier inside a cluster and inside a round, >= 0, ties by example id.
    concepts : (offsets, values)
        Ragged concept ids of the whole pool.
    mode : {"expected", "strict", "soft"}
        ``strict`` puts `expectation` to 0; ``soft`` discounts instead of refusing.
    expectation : float
        λ of `ConceptGraph`.
    fill : bool
        Take refused rows back where a cluster's budget is left. Without it, a pass that refused rows hands nothing on:
        the budget stays short.
    """
    rows = np.concatenate([candidates.rows, candidates.pins])
    lists = concept_lists(*concepts, rows, 0.0 if mode == "strict" else expectation)
    scene = _OfferState(candidates, score, lists, 0.0 if mode == "strict" else expectation)
    queue, remaining = round_robin(strata.of, score), plan.budget - strata.lower
    if mode == "soft":
        taken = offer_discounted(scene.graph, lists, score, strata.of, scene.cost, remaining)
        rest = _without(queue, taken)
        return Taken(np.append(taken, rest[first_fit(scene.cost[rest], int(remaining.sum()))]), _NONE, _NONE, _NONE)
    first = scene.run(queue, strata.of, remaining, fill)
    if not remaining.any() or (len(first.refused) and not fill):
        return scene.conclude([first])
    # A cluster's budget in tokens is seldom spent to the last: what is left is offered to all rows left over.
    rest, whole = _without(queue, np.append(first.taken, first.refused)), np.zeros(len(score), dtype=np.int64)
    together = remaining.sum(keepdims=True)
    late = scene.run(rest, whole, together, fill)
    left = ~np.isin(first.refused, first.filled)
    back = refill(first.refused[left], first.conflicts[left], score, whole, scene.cost, together) if fill else _NONE
    return scene.conclude([first, late], back)


@dataclass(frozen=True)
class _OfferPass:
    """What one pass over a queue decided, in places."""

    taken: NDArray[np.int64]
    filled: NDArray[np.int64]
    refused: NDArray[np.int64]
    """Rows refused at their turn, those taken back included."""
    conflicts: NDArray[np.int64]
    rival: NDArray[np.int64]


class _OfferState:
    """The graph as it grows over the runs of one selection."""

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
        """Offer a queue, then take back what was refused where `room` (reduced in place) is left."""
        taken, refused = offer(self.graph, self._screen, self._lists, queue, stratum, self.cost, remaining)
        self._accepted = np.append(self._accepted, taken)
        verdict = check_refused(self._lists, self._accepted, refused, self._expectation)
        filled = refill(refused, verdict.conflicts, self._score, stratum, self.cost, remaining) if fill else _NONE
        return _OfferPass(taken, filled, refused, verdict.conflicts, verdict.rival)

    def conclude(self, runs: list[_OfferPass], back: NDArray[np.int64] = _NONE) -> Taken:
        """Return the runs one after the other, then the rows taken `back` last."""
        filled = np.concatenate([*(run.filled for run in runs), back])
        refused = np.concatenate([run.refused for run in runs])
        rival = np.concatenate([run.rival for run in runs])
        order = np.concatenate([*(part for run in runs for part in (run.taken, run.filled)), back])
        out = ~np.isin(refused, filled)
        return Taken(order, filled, refused[out], self._lists.rows[rival[out]])


def _without(queue: NDArray[np.int64], gone: NDArray[np.int64]) -> NDArray[np.int64]:
    return queue[~np.isin(queue, gone)]
