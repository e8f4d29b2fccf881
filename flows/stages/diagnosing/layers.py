"""Diagnosis of layers: measures of the decoder layers of one model on rows of the corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.diagnosing.request import diagnosis_recipe, drawn, engine_request
from curate.flows.stages.recovering.heldout import conversations
from curate.schemas.corpus import turns_of
from curate.schemas.diagnosis import DIAGNOSES

if TYPE_CHECKING:
    from pathlib import Path

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.corpus import Turn
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

KIND = "layers"


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str, model: str) -> Recipe:
    """Return the recipe of a diagnosis: the corpus, the models' files, the rows drawn and how they are read."""
    models = {"model": model} | ({} if settings.original is None else {"original": settings.original})
    return diagnosis_recipe(warehouse, settings, KIND, {"corpus": corpus_id}, models, ("rows", "leave_one_out"))


def diagnose(warehouse: Warehouse, settings: Settings, corpus_id: str, model: str) -> str:
    """Measure the decoder layers of `model`, and return the diagnosis id.

    Raises
    ------
    InputError
        If a model or the corpus cannot be used.
    """
    plan = recipe(warehouse, settings, corpus_id, model)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        table = conversations(warehouse, corpus_id)
        rows = table.column("messages").take(drawn(table.num_rows, settings)).to_pylist()
        metrics, tokens = _measure(settings, model, [list(turns_of(messages)) for messages in rows])
        records = [
            {"kind": KIND, "place": place, "metric": metric, "value": value}
            for metric, values in metrics.items()
            for place, value in enumerate(values)
        ]
        builder.write("part", 0, pa.Table.from_pylist(records, DIAGNOSES), DIAGNOSES)
        facts = {"model": model, "original": settings.original, "rows": len(rows), "tokens": tokens}
        builder.finish({**facts, "metrics": list(metrics)})
    return plan.id


def _measure(settings: Settings, model: str, rows: list[list[Turn]]) -> tuple[dict[str, list[float]], int]:
    from curate.engines.diagnose.layers import diagnose_layers
    from curate.engines.models.checkpoints import resolve_model

    original: Path | None = None if settings.original is None else resolve_model(settings.original)
    with progress.stage("diagnose") as advance:
        return diagnose_layers(
            resolve_model(model),
            rows,
            engine_request(settings),
            original=original,
            progress=lambda done, total: advance(1),
        )
