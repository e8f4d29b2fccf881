"""The drift gate: whether a selection differs enough from what was last trained on to be worth a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.schemas.errors import GateError

if TYPE_CHECKING:
    from curate.storage.warehouse import Warehouse


def kept_ids(warehouse: Warehouse, selection_id: str) -> set[str]:
    """Return the ids of the examples that a selection keeps; an id is a digest of the text, whatever the corpus."""
    ledger = warehouse.read("selection", selection_id, columns=["example_id", "kept"])
    kept = ledger["kept"].to_numpy(zero_copy_only=False).astype(np.bool_)
    return set(ledger["example_id"].to_numpy(zero_copy_only=False)[kept].tolist())


def check_drift(warehouse: Warehouse, selection_id: str, model_digest: str, most: float) -> None:
    """Return if the selection overlaps at most `most` with the one that the model was last trained on.

    Parameters
    ----------
    model_digest : str
        Digest of the compressed model, as it stands in the recovery's inputs; trainings of other models do not count.
    most : float
        Largest Jaccard index |A ∩ B| / |A ∪ B| at which training goes on, in [0, 1]; 1 always goes on.

    Raises
    ------
    GateError
        If it overlaps more: there is little new to learn.
    """
    trained = (one for one in warehouse.list("recovery") if one.inputs.get("compressed") == model_digest)
    last = next(trained, None)
    if most >= 1 or last is None:
        return
    now, before = kept_ids(warehouse, selection_id), kept_ids(warehouse, last.inputs["selection"])
    overlap = len(now & before) / max(1, len(now | before))
    if overlap > most:
        raise GateError(
            f"selection {selection_id} shares {overlap:.1%} of its rows with selection {last.inputs['selection']}, "
            f"which recovery {last.id} was trained on, more than --max-overlap {most:.1%}; raise it to train anyway"
        )
