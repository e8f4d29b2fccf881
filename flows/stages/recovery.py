"""Recovery: a selection and a compressed model → a model trained back, its metrics, and where it came from.

The training is a job of its own process (`curate.engines.job`); this stage writes what it needs and keeps what it gave.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.recovering.heldout import heldout_source
from curate.flows.stages.recovering.job_content import write_job
from curate.flows.stages.recovering.job_on_ray import run_job_on_ray
from curate.flows.stages.recovering.job_process import run_job
from curate.flows.stages.recovering.request import processes, request_of
from curate.flows.stages.recovering.targets import resolved, targets_input, targets_setting
from curate.flows.stages.rendering import rendering_setting
from curate.schemas.errors import GateError, InputError, UsageError, WarehouseError
from curate.schemas.recovery_metrics import METRICS
from curate.storage.warehouse.places import RECOVERED

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1
PLACE = ("device", "batch_tokens", "gradient_checkpointing", "checkpoint_steps")
"""What decides how the job runs rather than what it computes; it may change after an attempt that ran out of memory."""


def recipe(warehouse: Warehouse, settings: Settings, selection_id: str) -> Recipe:
    """Return the recipe of the recovery: the selection, the models, the held-out rows, and the training settings.

    Raises
    ------
    InputError
        If no model was given, or one cannot be used.
    """
    from curate.engines.models.checkpoints import model_files

    if settings.compressed is None:
        raise InputError(
            f"selection {selection_id} was made without a model; pass --compressed FOLDER, and --original FOLDER to "
            "learn from the original"
        )
    inputs = {"selection": selection_id, **targets_input(warehouse, settings)}
    for role, model in (("compressed", settings.compressed), ("original", settings.original)):
        if model is not None:
            inputs[role] = warehouse.digests.files(model_files(model))
    corpus = warehouse.manifest("corpus", warehouse.manifest("selection", selection_id).inputs["corpus"])
    inputs["heldout"] = heldout_source(warehouse, settings, corpus).cause
    how = {name: value for name, value in request_of(settings).to_json().items() if name not in PLACE}
    how |= rendering_setting(settings.score.template, settings.compressed, settings.original)
    how |= targets_setting(settings)
    return Recipe("recovery", VERSION, inputs, how)


def result_folder(warehouse: Warehouse, recovery_id: str) -> Path:
    """Return the folder of a recovered model, whether it is there or not."""
    return warehouse.root / "models" / f"{RECOVERED}{recovery_id}"


def recover(warehouse: Warehouse, settings: Settings, selection_id: str, anew: bool = False) -> str:
    """Train the compressed model on a selection and return the recovery id.

    Parameters
    ----------
    anew : bool
        Forget the checkpoints of an attempt that was cut off.
    """
    settings = resolved(warehouse, settings)
    plan = recipe(warehouse, settings, selection_id)
    if plan.exists_in(warehouse) and result_folder(warehouse, plan.id).is_dir():
        _note_other_generation(str(settings.compressed), result_folder(warehouse, plan.id))
        return plan.id
    if plan.exists_in(warehouse):
        raise WarehouseError(
            f"the model of recovery {plan.id} is gone from {result_folder(warehouse, plan.id)}; "
            f"delete {warehouse.folder('recovery', plan.id)} and run the same command again"
        )
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        out, job = result_folder(warehouse, plan.id), warehouse.root / "jobs" / plan.id
        facts = _run(warehouse, settings, selection_id, out, job, anew)
        metrics = facts.pop("metrics")
        builder.write("part", 0, pa.Table.from_pylist(metrics, schema=METRICS), METRICS)
        for warning in facts["warnings"]:
            progress.note(f"warning: {warning}")
        builder.finish({**facts, "model": str(out)})
        shutil.rmtree(job, ignore_errors=True)
    return plan.id


def _note_other_generation(model: str, recovered: Path) -> None:
    """Say so if the model's generation settings are no longer those that its recovery was written with.

    They decide no weight and are no part of the id (docs/decisions/0020).
    """
    from curate.engines.models.checkpoints import generation_settings

    settings = generation_settings(model)
    copy = recovered / (settings.name if settings is not None else "")
    if settings is not None and copy.is_file() and copy.read_bytes() != settings.read_bytes():
        progress.note(
            f"{settings} has changed since this recovery, whose model keeps the earlier generation settings; "
            f"copy the file to {recovered} to use the new ones"
        )


def _run(
    warehouse: Warehouse, settings: Settings, selection_id: str, out: Path, job: Path, anew: bool
) -> dict[str, Any]:
    """Run the job, unless its result is there, and return its report."""
    from curate.engines.recover.results.work_folder import read_report

    workers: list[dict[str, Any]] = []
    report = read_report(out)
    if report is None:
        shutil.rmtree(out, ignore_errors=True)
        if anew:
            shutil.rmtree(job, ignore_errors=True)
        write_job(warehouse, settings, selection_id, out, job)
        try:
            workers = _train(settings, job, out)
        except (UsageError, InputError, GateError):
            if not any((job / "work").glob("checkpoints/*")):
                shutil.rmtree(job)  # refused before it began: nothing to go on with
            raise
        report = read_report(out)
    if report is None:
        raise WarehouseError(f"the job in {job} ended without a result in {out}; see {job / 'job.log'}")
    del report["request"], report["lineage"]
    return {**report, **({"workers": workers} if workers else {})}


def _train(settings: Settings, job: Path, out: Path) -> list[dict[str, Any]]:
    """Run the job here or on a cluster, and return what each worker of the cluster did."""
    n_processes = processes(settings)
    if settings.engine == "ray":
        return run_job_on_ray(settings, job, out, "recover")
    run_job(job, "recover", n_processes)
    return []
