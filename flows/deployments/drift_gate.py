"""The drift gate: whether a new selection differs enough from the last trained one to be worth a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.warehouse.warehouse import Warehouse


class Verdict(NamedTuple):
    """What the gate says."""

    train: bool
    why: str
    """One clause for a person."""


def worth_training(warehouse: Warehouse, selection: str, overlap_limit: float) -> Verdict:
    """Return whether a selection is to be trained on, compared with the one of the newest recovery.

    Parameters
    ----------
    selection : str
        Full id of the new selection.
    overlap_limit : float
        Jaccard index of the kept rows, in (0, 1], from which nothing new would be learned. Rows are compared by
        example id, so that the corpus may have grown in between.
    """
    from curate.selectors.assessment.overlap import overlap

    trained = [one for one in warehouse.list("recovery") if "selection" in one.inputs]
    if not trained:
        return Verdict(True, "no model was trained yet")
    last = trained[0].inputs["selection"]
    if last == selection:
        return Verdict(False, f"recovery {trained[0].id} was trained on this very selection")
    if not warehouse.has("selection", last):
        return Verdict(True, f"selection {last}, which was trained on last, is gone")
    kept = [_kept(warehouse, one) for one in (last, selection)]
    either = np.union1d(*kept)
    shared = overlap(np.isin(either, kept[0]), np.isin(either, kept[1]))["jaccard"]
    verdict = "it overlaps" if shared >= overlap_limit else "it differs from"
    return Verdict(
        shared < overlap_limit,
        f"{verdict} selection {last}, which was trained on last: Jaccard {shared:.3f}, limit {overlap_limit:g}",
    )


def _kept(warehouse: Warehouse, selection: str) -> NDArray[np.str_]:
    ledger = warehouse.read("selection", selection, columns=["example_id", "kept"])
    return np.asarray(ledger.filter(ledger["kept"])["example_id"].to_pylist(), dtype=np.str_)
