"""Summaries of single artefacts as JSON-compatible values, for printing."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.artefacts import Noun
    from curate.storage.warehouse.warehouse import Warehouse


def summary(warehouse: Warehouse, noun: Noun, artefact_id: str, picture: Path | None) -> dict[str, Any]:
    """Return noun, id, number of rows, seconds, facts, folder and picture of an artefact."""
    manifest = warehouse.manifest(noun, artefact_id)
    return {
        "noun": noun,
        "id": manifest.id,
        "rows": manifest.rows(),
        "seconds": manifest.seconds,
        "facts": manifest.facts,
        "folder": str(warehouse.folder(noun, artefact_id)),
        "picture": str(picture) if picture else None,
    }


def recovery_summary(warehouse: Warehouse, recovery_id: str) -> dict[str, Any]:
    """Return id, inputs, settings, the loss in words, and facts of a recovery."""
    manifest = warehouse.manifest("recovery", recovery_id)
    own = {item.name for item in fields(RecoveryRequest)}
    request = RecoveryRequest.from_json({name: value for name, value in manifest.settings.items() if name in own})
    causes = {"recovery_id": manifest.id, "inputs": manifest.inputs, "settings": manifest.settings}
    return {**causes, "loss": request.loss, **manifest.facts}
