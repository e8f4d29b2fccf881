"""Recovery: a selection and a compressed model → a model trained back, its metrics, and where it came from.

The training is a job of its own process (`curate.engines.job`); this stage writes what it needs and keeps what it gave.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.recovering.group_columns import with_groups
from curate.flows.stages.recovering.heldout import Heldout, conversations, heldout_rows, heldout_source
from curate.flows.stages.recovering.job_on_ray import run_job_on_ray
from curate.flows.stages.recovering.job_process import run_job
from curate.flows.stages.recovering.targets import (
    resolved,
    targets_input,
    targets_lineage,
    targets_setting,
    with_targets,
)
from curate.flows.stages.rendering import rendering_setting
from curate.schemas.errors import GateError, InputError, UsageError, WarehouseError
from curate.schemas.recovery import NAMED_TEACHER_WEIGHT, STEP_ROWS, TEACHER_WEIGHT, RecoveryRequest
from curate.schemas.recovery_metrics import METRICS
from curate.storage.warehouse.places import ORIGINAL_CACHE, RECOVERED

if TYPE_CHECKING:
    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1
PLACE = ("device", "batch_tokens", "gradient_checkpointing", "checkpoint_steps")
"""What decides how the job runs rather than what it computes; it may change after an attempt that ran out of memory."""


def request_of(settings: Settings) -> RecoveryRequest:
    """Return the engine's request; what was not given is its default.

    Raises
    ------
    UsageError
        If a method, a schedule or a part is unknown.
    """
    given = settings.recover.model_dump(exclude={"heldout", "teacher", "processes"}, exclude_none=True)
    given["teacher_weight"] = teacher_weight(settings)
    if given["teacher_weight"] and settings.score.teacher_cache != "exact":
        given["teacher_top"] = int(settings.score.teacher_cache.partition("=")[2])
    if settings.recover.tokens != "all":
        given["token_share"] = float(settings.recover.tokens.partition("=")[2])
    given["reweigh_steps"] = settings.recover.reweigh
    given["elastic"] = tuple(sorted({1.0, *settings.recover.elastic}, reverse=True)) if settings.recover.elastic else ()
    shared = settings.score.model_dump(include={"max_length", "template", "device", "dtype"})
    shared["device"] = shared["device"].partition(",")[0]  # a pair may be scored on two, one model is trained on one
    own = {item.name for item in fields(RecoveryRequest)}
    extra = {"seed": settings.seed, "trust_remote_code": settings.trust_remote_code}
    return RecoveryRequest(**{name: value for name, value in {**given, **shared, **extra}.items() if name in own})


def teacher_weight(settings: Settings) -> float:
    """Return the weight of the original's predictions in the loss: what was said, else the default where it is known.

    The artefact holds this number, so that it stays what it was if the default changes.
    """
    given = settings.recover
    if given.teacher == "none":
        return 0.0
    if given.teacher == "original":
        return given.teacher_weight or NAMED_TEACHER_WEIGHT
    if settings.original is None or given.epochs == 0:
        return 0.0
    return given.teacher_weight or TEACHER_WEIGHT


def processes(settings: Settings) -> int:
    """Return how many processes share every step of the training: one for each CUDA device where nothing was said.

    Raises
    ------
    UsageError
        If several were asked for on a Ray cluster, where one worker trains.
    """
    from curate.engines.models.devices import training_device_count

    request = request_of(settings)
    if settings.engine == "ray":
        if settings.recover.processes not in (None, 1):
            raise UsageError(
                f"--processes {settings.recover.processes} shares the devices of this machine; with --engine ray one "
                "worker trains, leave it out"
            )
        return 1
    return settings.recover.processes or min(training_device_count(request.device), request.batch or STEP_ROWS[0])


def recipe(warehouse: Warehouse, settings: Settings, selection_id: str) -> Recipe:
    """Return the recipe of the recovery: the selection, the models, the held-out rows, and the training settings.

    Raises
    ------
    InputError
        If no model was given, or one cannot be used.
    """
    from curate.engines.models.checkpoints import model_files

    if settings.compressed is None:
        raise InputError(f"selection {selection_id} was made without a model; pass --model FOLDER")
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


def write_job(warehouse: Warehouse, settings: Settings, selection_id: str, out: Path, job: Path) -> None:
    """Write everything that `curate.engines.job` needs to the folder `job`; it can be copied to another machine."""
    rows, heldout, description = job_of(warehouse, settings, selection_id, out)
    job.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, job / "rows.parquet", write_page_checksum=True)
    pq.write_table(heldout, job / "heldout.parquet", write_page_checksum=True)
    (job / "job.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", "utf-8")


def job_of(
    warehouse: Warehouse, settings: Settings, selection_id: str, out: Path
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Return the rows to train on, the rows held out, and the content of ``job.json``."""
    selection = warehouse.manifest("selection", selection_id)
    rows = selected_rows(warehouse, selection)
    if request_of(settings).reweigh_steps is not None:
        rows = with_groups(warehouse, selection, rows)
    corpus = warehouse.manifest("corpus", selection.inputs["corpus"])
    source = heldout_source(warehouse, settings, corpus)
    heldout = heldout_rows(warehouse, settings, selection, source, set(rows["example_id"].to_pylist()))
    description = {
        "kind": "recover",
        "model": settings.compressed,
        "original": settings.original,
        "out": str(out),
        "request": request_of(settings).to_json(),
        "library": library(warehouse, settings),
        "template_digest": _scored_digest(warehouse, selection),
        "lineage": lineage(warehouse, settings, selection, source, rows["example_id"])
        | targets_lineage(warehouse, settings),
    }
    return with_targets(warehouse, settings, rows), heldout, description


def library(warehouse: Warehouse, settings: Settings) -> dict[str, str] | None:
    """Return where originals leave what they say, and this one's digest there, as scoring writes it."""
    from curate.engines.models.checkpoints import model_files

    if settings.original is None or not request_of(settings).asks_original:
        return None
    digest = warehouse.digests.files(model_files(settings.original))
    return {"folder": str(warehouse.root / ORIGINAL_CACHE), "original": digest}


def selected_rows(warehouse: Warehouse, selection: Manifest) -> pa.Table:
    """Return id, turns and tools of the kept rows, first taken first."""
    ledger = warehouse.read("selection", selection.id, columns=["example_id", "rank"])
    rank = ledger["rank"].to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(~np.isnan(rank))
    order = kept[np.argsort(rank[kept], kind="stable")]
    return conversations(warehouse, selection.inputs["corpus"]).take(pa.array(order))


def lineage(
    warehouse: Warehouse, settings: Settings, selection: Manifest, source: Heldout, kept: pa.ChunkedArray
) -> dict[str, Any]:
    """Return what the model card says of where the rows come from."""
    import pyarrow.compute as pc

    corpus = warehouse.manifest("corpus", selection.inputs["corpus"])
    sources = warehouse.read("corpus", corpus.id, "sources", columns=["example_id", "licence"])
    used = sources.filter(pc.is_in(sources["example_id"], value_set=kept.combine_chunks()))
    licences = sorted({licence or "not stated" for licence in used["licence"].to_pylist()})
    # A card travels with the model: names, not the folders of this machine.
    models = {f"{role}_model": _name(getattr(settings, role)) for role in ("compressed", "original")}
    return {
        "selection": selection.id,
        "selected_by": selection.settings["method"],
        "budget": selection.settings["budget"],
        "ledger": selection.facts["reasons"],
        "corpus": corpus.id,
        "files": [_name(name) for name in corpus.facts.get("files", [])],
        "licences": licences,
        "scores": selection.inputs.get("scores", "none"),
        **models,
        "heldout": source.about,
    }


def _name(address: str | None) -> str:
    """Return a hub name as it is, and the last part of a path."""
    if address is None:
        return "not given"
    return Path(address).absolute().name if Path(address).exists() else address


def _scored_digest(warehouse: Warehouse, selection: Manifest) -> str | None:
    """Return the digest of the template that the selection's scores were made with, None without scores."""
    if "scores" not in selection.inputs:
        return None
    template_digest: str | None = warehouse.manifest("scores", selection.inputs["scores"]).facts.get("template_digest")
    return template_digest
