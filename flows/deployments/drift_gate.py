"""The drift gate: whether a new selection differs enough from the last trained one to be worth a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.warehouse.warehouse import Warehouse


class DriftDecision(NamedTuple):
    """Decision of the gate."""

    train: bool
    reason: str
    """One clause for the flow's log and state message."""


def worth_training(warehouse: Warehouse, selection: str, overlap_limit: float) -> DriftDecision:
    """Decide whether to train on a selection, compared with the selection of the newest recovery.

    Parameters
    ----------
    selection : str
        Full id of the new selection.
    overlap_limit : float
        Jaccard index of the kept rows, in (0, 1], from which training is skipped. Rows are compared by example id, so
        that the corpus may have grown in between.
    """
    from curate.selectors.assessment.overlap import overlap

    trained = [recovery for recovery in warehouse.list("recovery") if "selection" in recovery.inputs]
    if not trained:
        return DriftDecision(True, "no model was trained yet")
    last = trained[0].inputs["selection"]
    if last == selection:
        return DriftDecision(False, f"recovery {trained[0].id} was trained on this very selection")
    if not warehouse.has("selection", last):
        return DriftDecision(True, f"selection {last}, the last trained one, no longer exists")
    last_kept, new_kept = _kept(warehouse, last), _kept(warehouse, selection)
    either = np.union1d(last_kept, new_kept)
    jaccard = overlap(np.isin(either, last_kept), np.isin(either, new_kept))["jaccard"]
    comparison = "it overlaps" if jaccard >= overlap_limit else "it differs from"
    return DriftDecision(
        jaccard < overlap_limit,
        f"{comparison} selection {last}, the last trained one: Jaccard {jaccard:.3f}, limit {overlap_limit:g}",
    )


def _kept(warehouse: Warehouse, selection: str) -> NDArray[np.str_]:
    ledger = warehouse.read("selection", selection, columns=["example_id", "kept"])
    return np.asarray(ledger.filter(ledger["kept"])["example_id"].to_pylist(), dtype=np.str_)
