"""Adds to the rows of a recovery what the weights of groups need: each row's group, and the original's loss on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from curate.schemas.artefacts import Manifest
    from curate.storage.warehouse.warehouse import Warehouse


def with_groups(warehouse: Warehouse, selection: Manifest, rows: pa.Table) -> pa.Table:
    """Return `rows` with the columns ``group``, of the selection's ledger, and ``nll_original``, of its scores.

    Raises
    ------
    InputError
        If the selection has neither clusters nor groups, or its scores are not of a pair.
    """
    ledger = warehouse.read("selection", selection.id)
    named = "group" in ledger.column_names and ledger["group"].null_count < len(ledger)
    group = ledger["group"] if named else ledger["cluster"].cast(pa.string())
    scores = selection.inputs.get("scores")
    nll = None if scores is None else warehouse.read("scores", scores, columns=["nll_original"])["nll_original"]
    if group.null_count == len(ledger):
        raise InputError(
            f"selection {selection.id} has no groups, which --reweigh needs; select with --method paser, coverage or "
            "another that divides its budget, or leave out --reweigh"
        )
    if nll is None or nll.null_count == len(nll):
        raise InputError(
            f"selection {selection.id} has no scores of a pair, which --reweigh needs; select with both models and an "
            "--allocation or --rank that reads scores, or leave out --reweigh"
        )
    # Ledger and scores list the examples of the corpus in the same order.
    places = pc.index_in(rows["example_id"], value_set=ledger["example_id"].combine_chunks())
    added = {"group": group.take(places), "nll_original": nll.take(places).cast(pa.float64())}
    for name, column in added.items():
        rows = rows.append_column(name, column)
    return rows
