"""``curate evaluate``: evaluates a model, its original and its compressed version, and reports them side by side."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.flows import progress, stages
from curate.flows.converted_models import converted, with_converted
from curate.flows.demo.pair import compressed_demo, is_demo
from curate.flows.operations.evaluation_report import report
from curate.flows.operations.recover import for_selection, is_there, models_of
from curate.flows.session import session
from curate.flows.stages.evaluating.judge import check_judge
from curate.flows.stages.evaluating.original import original_of
from curate.flows.stages.evaluating.tasks import DEMO
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.flows.session import Session
    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

ARTEFACT_ID = re.compile(r"latest|[0-9a-f]{4,16}")
"""Matches an artefact's id or its beginning; anything else is a folder or a hub name."""


def evaluate(settings: Settings, model: str | None) -> dict[str, Any]:
    """Evaluate the model, and the original and the compressed model if they are given; return the report.

    Parameters
    ----------
    settings : Settings
        Without tasks, corpus and models, the demo's held-out rows and model pair are used.
    model : str or None
        Folder, hub name or recovery id of the model. By default the compressed model of the settings, else the latest
        recovery, else the demo's compressed model.

    Raises
    ------
    UsageError
        If there is no model, no task, a judged task without a judge, or a divergence task without the original.
    """
    check_judge(settings)
    with session("evaluate", settings, demo=False) as run:
        recovery = _recovery(run.warehouse, settings, model)
        if recovery is not None:
            settings, _ = for_selection(settings, recovery.inputs["selection"], recovery)
            model = str(recovery.facts["model"])
        else:
            settings = _with_compressed(run.warehouse, settings, model)
        settings = with_converted(run.warehouse, _with_demo(run.warehouse, settings))
        subject = converted(run.warehouse, model, settings.trust_pickle) or settings.compressed
        original_of(settings)  # A missing original is an error before anything is computed.
        if subject is None:
            raise UsageError("there is no model to evaluate; name its folder, as in curate evaluate models/recovered")
        corpus = run.call(stages.ingest, run.warehouse, settings) if settings.corpus else None
        grouping = _clusters(run, settings, corpus) if settings.evaluate.by == "cluster" else {}
        ids = {}
        for role, name in (("model", subject), ("original", settings.original), ("compressed", settings.compressed)):
            if name is not None:
                origin = _origin(recovery) if role == "model" and recovery is not None else {}
                ids[role] = run.call(stages.evaluate, run.warehouse, settings, name, corpus, {**grouping, **origin})
    return report(run.warehouse, settings.evaluate.metric, ids)


def _recovery(warehouse: Warehouse, settings: Settings, model: str | None) -> Manifest | None:
    """Return the recovery that `model` refers to, or None; an existing folder is never read as an id."""
    if model is None:
        recoveries = warehouse.list("recovery") if settings.compressed is None else []
        return recoveries[0] if recoveries else None
    if Path(model).exists() or not ARTEFACT_ID.fullmatch(model):
        return None
    return warehouse.find("recovery", model)


def _with_compressed(warehouse: Warehouse, settings: Settings, model: str | None) -> Settings:
    """Return `settings` with the compressed model that a recovered folder was made from, if retention is measured."""
    if model is None or settings.original is None or settings.compressed is not None:
        return settings
    selection = _selection_of(Path(model))
    if selection is None:
        return settings
    compressed = _compressed_of(warehouse, Path(model), selection)
    if compressed is None or not is_there(compressed):
        progress.note(f"what {model} was recovered from is not known in {warehouse.root}; pass --compressed FOLDER")
        return settings
    progress.note(f"{model} was recovered from {compressed}, which is evaluated beside it")
    return settings.model_copy(update={"compressed": compressed})


def _compressed_of(warehouse: Warehouse, folder: Path, selection: str) -> str | None:
    """Return the compressed model that `folder`, trained on `selection`, was made from, or None if it is not known.

    That of the recovery that wrote the folder; of a copy that of all recoveries on the selection, if it is the same.
    """
    recoveries = [one for one in warehouse.list("recovery") if one.inputs["selection"] == selection]
    own = [one for one in recoveries if Path(str(one.facts["model"])).absolute() == folder.absolute()] or recoveries
    if len({one.inputs.get("compressed") for one in own}) == 1 and (known := models_of(warehouse, own[0])):
        return str(known["compressed"])
    chosen = warehouse.manifest("selection", selection) if warehouse.has("selection", selection) else None
    if chosen is None or "scores" not in chosen.inputs:
        return None
    scored = models_of(warehouse, chosen).get("compressed")
    return None if scored is None else str(scored)


def _selection_of(folder: Path) -> str | None:
    """Return the id of the selection that a recovered folder was trained on, None for any other folder."""
    from curate.engines.models.json_files import read_object
    from curate.engines.recover.results.work_folder import REPORT

    lineage = read_object(folder / REPORT).get("lineage") if (folder / REPORT).is_file() else None
    selection = str(lineage.get("selection")) if isinstance(lineage, dict) else ""
    return selection if ARTEFACT_ID.fullmatch(selection) else None


def _origin(recovery: Manifest) -> dict[str, str]:
    return {"recovery": recovery.id, "selection": recovery.inputs["selection"]}


def _with_demo(warehouse: Warehouse, settings: Settings) -> Settings:
    from curate.flows import demo

    if settings.evaluate.tasks:
        return settings
    if is_demo(settings):
        progress.note("no tasks and no models were given: evaluating the built-in demo on its held-out rows")
        pair = {"original": str(demo.model_path()), "compressed": str(compressed_demo(warehouse))}
        settings = settings.model_copy(update={"corpus": (str(demo.pool_path()),), **pair})
    if settings.corpus != (str(demo.pool_path()),):
        return settings
    return settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"tasks": (DEMO,)})})


def _clusters(run: Session, settings: Settings, corpus: str | None) -> dict[str, str]:
    """Return the clusters to group held-out rows by, computing them if necessary."""
    if corpus is None:
        raise UsageError("--by cluster groups rows by the clusters of a corpus; pass --corpus FILE")
    embeddings = run.call(stages.embed, run.warehouse, settings, corpus)
    return {"clusters": run.call(stages.cluster, run.warehouse, settings, corpus, embeddings)}
