"""Trains on accepted answers of a model: exchanges the last turn of the rows that have a target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.corpus import example_id, message_of, turns_of
from curate.schemas.errors import InputError, UsageError
from curate.schemas.targets import conversations_with
from curate.storage.exports.rows import NOT_STATED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def with_targets_id(settings: Settings, targets_id: str | None) -> Settings:
    """Return `settings` with the targets of this id, where there is one."""
    if targets_id is None:
        return settings
    return settings.model_copy(update={"recover": settings.recover.model_copy(update={"targets": targets_id})})


def resolved(warehouse: Warehouse, settings: Settings) -> Settings:
    """Return `settings` with the full id of the targets instead of ``latest`` or a beginning of it.

    Raises
    ------
    UsageError
        If there are no such targets.
    """
    named = settings.recover.targets
    return settings if named is None else with_targets_id(settings, warehouse.find("targets", named).id)


def targets_input(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    """Return the targets as an input of a recovery; empty without."""
    targets = resolved(warehouse, settings).recover.targets
    return {} if targets is None else {"targets": targets}


def targets_setting(settings: Settings) -> dict[str, Any]:
    """Return what becomes of the corpus's answers, as a setting of a recovery; empty without targets.

    Raises
    ------
    UsageError
        If groups are weighed as well: their weights read the original's loss on the corpus's answers.
    """
    if settings.recover.targets is None:
        return {}
    if settings.recover.reweigh is not None:
        raise UsageError("--reweigh reads the scores of the corpus's answers; leave it out, or leave out --targets")
    return {"keep_reference": settings.recover.keep_reference}


def targets_lineage(warehouse: Warehouse, settings: Settings) -> dict[str, Any]:
    """Return what the model card says of the targets; empty without."""
    targets = targets_input(warehouse, settings).get("targets")
    if targets is None:
        return {}
    name, licence = writer_of(warehouse, targets)
    return {"targets": targets, "targets_from": name, "targets_licence": licence, **targets_setting(settings)}


def writer_of(warehouse: Warehouse, targets: str) -> tuple[str, str]:
    """Return the name and the licence of the model that gave the answers."""
    # Cards and exports travel: a name, not a folder of this machine.
    facts = warehouse.manifest("targets", targets).facts
    model = str(facts["model"])
    return Path(model).absolute().name if Path(model).exists() else model, facts.get("licence") or NOT_STATED


def with_targets(warehouse: Warehouse, settings: Settings, rows: pa.Table) -> pa.Table:
    """Return `rows` with the targets as last turns, and the corpus's answers where they are kept.

    A row whose turns have changed has the id of its new conversation, so that nothing stored for the old one is read.

    Raises
    ------
    InputError
        If nothing is left to train on.
    """
    targets = targets_input(warehouse, settings).get("targets")
    if targets is None:
        return rows
    accepted = accepted_texts(warehouse, targets)
    keep = settings.recover.keep_reference
    kept = [new for row in rows.to_pylist() for new in _exchanged(row, accepted.get(row["example_id"]), keep)]
    if not kept:
        raise InputError(
            f"targets {targets} hold no accepted answer to a row of this selection; run `curate sample` on it, or "
            "leave out --keep-reference never"
        )
    return pa.Table.from_pylist(kept, schema=rows.schema)


def accepted_texts(warehouse: Warehouse, targets: str) -> dict[str, str]:
    """Return the accepted answer of every row that has one, by example id."""
    table = warehouse.read("targets", targets, columns=["example_id", "text", "accepted"])
    chosen = table.filter(table["accepted"])
    return dict(zip(chosen["example_id"].to_pylist(), chosen["text"].to_pylist(), strict=True))


def _exchanged(row: Mapping[str, Any], text: str | None, keep: str) -> Iterator[dict[str, Any]]:
    """Yield what is trained on in place of a row: its target, the row itself, both or neither."""
    given = turns_of(row["messages"])
    for turns in conversations_with(given, text, keep):
        if turns == given:
            yield dict(row)
        else:
            new = {"example_id": example_id(turns, row["tools"]), "messages": [message_of(turn) for turn in turns]}
            yield {**row, **new}
