"""Diagnosis stage: measures of the parts of one model on rows of the corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.recovering.heldout import conversations
from curate.flows.stages.rendering import rendering_setting
from curate.schemas.corpus import turns_of
from curate.schemas.diagnosis import DIAGNOSES

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.corpus import Turn
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1
KIND = "layers"


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str, model: str) -> Recipe:
    """Return the recipe of a diagnosis: the corpus, the models' files, the rows drawn and how they are read."""
    from curate.engines.models.checkpoints import model_files

    inputs = {"corpus": corpus_id, "model": warehouse.digests.files(model_files(model))}
    if settings.original is not None:
        inputs["original"] = warehouse.digests.files(model_files(settings.original))
    how = {name: getattr(settings.score, name) for name in ("template", "max_length", "dtype")}
    how |= {"kind": KIND, "seed": settings.seed, **settings.diagnose.model_dump()}
    how |= rendering_setting(settings.score.template, settings.original or model)
    return Recipe("diagnosis", VERSION, inputs, how, {"device": settings.score.device})


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
        rows = _drawn(warehouse, settings, corpus_id)
        metrics, tokens = _measure(settings, model, rows)
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
    from curate.engines.diagnose.run import DiagnosisRequest, diagnose_layers
    from curate.engines.models.checkpoints import resolve_model

    request = DiagnosisRequest(
        settings.diagnose.leave_one_out,
        settings.score.max_length,
        settings.score.template,
        settings.score.device.partition(",")[0],
        settings.score.dtype,
        settings.trust_remote_code,
    )
    original: Path | None = None if settings.original is None else resolve_model(settings.original)
    with progress.stage("diagnose") as advance:
        return diagnose_layers(
            resolve_model(model), rows, request, original=original, progress=lambda done, total: advance(1)
        )


def _drawn(warehouse: Warehouse, settings: Settings, corpus_id: str) -> list[list[Turn]]:
    """Return the rows to measure on, drawn at random by the seed; in the corpus's order."""
    table = conversations(warehouse, corpus_id)
    # The first entries of one permutation: a larger number of rows is a superset.
    drawn = np.sort(np.random.default_rng(settings.seed).permutation(table.num_rows)[: settings.diagnose.rows])
    return [list(turns_of(messages)) for messages in table.column("messages").take(drawn).to_pylist()]
