"""One cell of a comparison: the compressed model trained on a selection, then evaluated; the model is not kept.

The artefact is an evaluation whose causes are the selection, the compressed model and the training, so that a cell that
is done is known without its model. A comparison of a hundred cells leaves a hundred small tables.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.flows.stages.evaluating.judge import judge_input, judge_of
from curate.flows.stages.evaluating.original import original_of
from curate.flows.stages.evaluating.tasks import (
    evaluated_files,
    evaluation_items,
    options_setting,
    tasks_digest,
    version_of,
)
from curate.flows.stages.evaluation import facts, run_items
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.recovering.job_content import library, selected_rows
from curate.flows.stages.rendering import rendering_setting

if TYPE_CHECKING:
    from curate.flows.stages.evaluation import Evaluated
    from curate.schemas.recovery import RecoveryRequest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1
UNSAID = ("device", "dtype", "batch_tokens", "checkpoint_steps", "gradient_checkpointing", "merge", "trust_remote_code")
"""Parts of a request that change how fast a model is trained, not what becomes of it."""


def recipe(warehouse: Warehouse, settings: Settings, selection: str, request: RecoveryRequest) -> Recipe:
    """Return the recipe of a cell: selection, compressed model, tasks, and the settings of training and evaluation."""
    inputs = {
        "selection": selection,
        "compressed": warehouse.digests.files(evaluated_files(settings, str(settings.compressed))),
        "tasks": tasks_digest(warehouse, settings),
        **judge_input(warehouse, settings),
        **_original_input(warehouse, settings, request),
    }
    training = {key: value for key, value in request.to_json().items() if key not in UNSAID}
    how = {"max_new_tokens": settings.evaluate.max_new_tokens, "limit": settings.evaluate.limit}
    how |= rendering_setting(request.template, settings.compressed, settings.original, judge_of(settings))
    how |= options_setting(settings)
    layout = {"device": settings.score.device, "part_items": settings.evaluate.part_items}
    # Two versions: of training a cell, and of asking its model.
    version = 100 * VERSION + version_of(settings)
    return Recipe("evaluation", version, inputs, {"recovery": training, "dtype": request.dtype, **how}, layout)


def _original_input(warehouse: Warehouse, settings: Settings, request: RecoveryRequest) -> dict[str, str]:
    """Return the digest of the original's files as an input, empty where neither training nor a task reads it."""
    from curate.engines.models.checkpoints import model_files, resolve_model, tokenizer_folder

    if settings.original is None:
        return {}
    lends_tokenizer = tokenizer_folder(resolve_model(str(settings.compressed))) is None
    used = request.asks_original or request.reconstruct or lends_tokenizer or original_of(settings) is not None
    return {"original": warehouse.digests.files(model_files(settings.original))} if used else {}


def trial(warehouse: Warehouse, settings: Settings, selection: str, request: RecoveryRequest) -> str:
    """Train, evaluate, and return the evaluation id."""
    plan = recipe(warehouse, settings, selection, request)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        began = time.monotonic()
        model, report = _trained(warehouse, settings, plan.id, selection, request)
        trained = time.monotonic() - began
        items, _ = evaluation_items(warehouse, settings, None)
        # The cell's model is on this machine only; `cells_on_ray` has the cells of a cluster.
        evaluated = run_items(builder, settings.model_copy(update={"engine": "local"}), items, str(model))
        finish(
            builder, settings, selection, evaluated, training_facts(report, trained, time.monotonic() - began - trained)
        )
        shutil.rmtree(model, ignore_errors=True)
    return plan.id


def training_facts(report: dict[str, Any], seconds_training: float, seconds_asking: float) -> dict[str, Any]:
    """Return what the manifest of a cell says of its training."""
    kept = ("method", "steps", "tokens", "rows", "loss_first", "loss_last", "sparsity_after")
    seconds = {"seconds_training": seconds_training, "seconds_asking": seconds_asking}
    return {**{name: report[name] for name in kept}, **seconds}


def finish(
    builder: Builder, settings: Settings, selection: str, evaluated: Evaluated, training: dict[str, Any]
) -> None:
    """Write the manifest of a cell, whose tables are written."""
    about = facts(settings, evaluated, f"trained on {selection}", 0)
    builder.finish({**about, "training": training}, evaluated.worker_memory)


def _trained(
    warehouse: Warehouse, settings: Settings, cell: str, selection: str, request: RecoveryRequest
) -> tuple[Any, dict[str, Any]]:
    """Return the folder of the trained model, which only this cell uses, and what training reported."""
    from curate.engines.recover import Observer, RecoveryContext, recover
    from curate.engines.recover.training.original_predictions import PredictionCache

    folder, work = (warehouse.root / place / f"trial-{cell}" for place in ("models", "cache"))
    # Left by an attempt that was killed after training; without its report it is of no use.
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # All cells learn from the same original: what it predicted of a row in one cell is looked up in the next.
    place = library(warehouse, settings)
    cache = None if place is None else PredictionCache.from_json(place)
    rows = selected_rows(warehouse, warehouse.manifest("selection", selection))
    with progress.stage("train") as advance:
        report = recover(
            str(settings.compressed),
            rows.to_batches(),
            folder,
            request,
            original=settings.original,
            context=RecoveryContext(work=work, cache=cache),
            observer=Observer(on_step=lambda step, total: advance(request.step_rows(rows.num_rows))),
        )
    shutil.rmtree(work, ignore_errors=True)
    return folder, report
