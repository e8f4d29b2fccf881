"""``curate recover``: from a selection to a recovered model, with the selection's own corpus and models by default."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from curate.flows import progress, stages
from curate.flows.converted_models import with_converted
from curate.flows.session import limit_threads, open_warehouse, session
from curate.flows.stages import recovery as recovery_stage
from curate.flows.stages.recovering.job_content import job_of
from curate.flows.stages.recovering.request import processes, request_of
from curate.schemas.errors import InputError, UsageError, WarehouseError
from curate.storage.warehouse.permissions import give_to_user
from curate.storage.warehouse.runs import runs_with
from curate.storage.warehouse.warehouse import LATEST

if TYPE_CHECKING:
    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def for_selection(
    settings: Settings, selection: str = LATEST, recovery: Manifest | None = None
) -> tuple[Settings, str]:
    """Return `settings` with the corpus and the models of a selection where none were given, and its full id.

    The models are those of `recovery`, if one is given: a selection without scores may have served other pairs since.
    The demo model is trained by the demo's own recipe, unless the flags say otherwise.

    Raises
    ------
    UsageError
        If there is no such selection.
    """
    warehouse = open_warehouse(settings)
    chosen = warehouse.find("selection", selection)
    corpus = warehouse.manifest("corpus", chosen.inputs["corpus"])
    known = (recovery and models_of(warehouse, recovery)) or models_of(warehouse, chosen)
    update: dict[str, Any] = {"corpus": tuple(corpus.facts.get("files", ()))}
    if settings.compressed is None:
        update |= {"compressed": known.get("compressed"), "original": settings.original or known.get("original")}
        if settings.original is None and not is_there(known.get("original")):
            _check_without_original(settings, str(known["original"]), chosen.id)
            update["original"] = None
    settings = with_converted(warehouse, settings.model_copy(update=update))
    return _with_demo_recipe(warehouse, settings), chosen.id


def models_of(warehouse: Warehouse, artefact: Manifest) -> dict[str, Any]:
    """Return the models by role that a selection or a recovery was made with, an empty dict if none were named.

    Of a selection those of its scores; without scores, those of the newest run that selected these rows with a
    compressed model that is still there. A draw at random is the same for every pair, so its manifest cannot name one.
    Of a recovery those of its run.
    """
    if "scores" in artefact.inputs:
        models: dict[str, Any] = warehouse.manifest("scores", artefact.inputs["scores"]).facts.get("models", {})
        return models
    runs = runs_with(warehouse.root, f"{artefact.noun}/{artefact.id}")
    named = [one.settings for one in runs if one.settings.get("compressed") is not None]
    used = next((one for one in named if is_there(one["compressed"])), named[0] if named else {})
    return {role: used.get(role) for role in ("original", "compressed")} if used else {}


def is_there(model: str | None) -> bool:
    """Return True if there is nothing to look for, or the model can be opened."""
    from curate.engines.models.checkpoints import resolve_model

    if model is None:
        return True
    try:
        resolve_model(model)
    except InputError:
        return False
    return True


def _check_without_original(settings: Settings, original: str, selection: str) -> None:
    """Allow a recovery without the original that its selection was made for, if it learns nothing from it.

    Raises
    ------
    InputError
        If it would.
    """
    how = settings.recover
    if how.teacher != "none" or how.reconstruct or how.tokens != "all":
        raise InputError(
            f"the original model {original!r} of selection {selection} is not there any more, and the recovery learns "
            "from it; pass --original FOLDER if it has moved, or --teacher none to learn from the given answers"
        )
    progress.note(f"the original model {original} is not there any more; the recovery does without it")


def _with_demo_recipe(warehouse: Warehouse, settings: Settings) -> Settings:
    from curate.flows import demo
    from curate.flows.demo.pair import compressed_demo

    if settings.corpus != (str(demo.pool_path()),):
        return settings
    if settings.compressed is None:
        pair = {"original": str(demo.model_path()), "compressed": str(compressed_demo(warehouse))}
        settings = settings.model_copy(update=pair)
    if Path(str(settings.compressed)).parent != warehouse.root / "models":
        return settings
    return with_demo_training(settings)


def with_demo_training(settings: Settings) -> Settings:
    """Return `settings` with the training of the demo model where nothing else was said."""
    from curate.flows import demo

    recipe = dict(demo.RECOVERY)
    if settings.recover.method == "full":
        recipe["learning_rate"] = demo.FULL_LEARNING_RATE
    own = {name: value for name, value in recipe.items() if getattr(settings.recover, name) is None}
    return settings.model_copy(update={"recover": settings.recover.model_copy(update=own)})


def recover(
    settings: Settings, selection: str = LATEST, out: Path | None = None, anew: bool = False
) -> tuple[Warehouse, str]:
    """Train the model of a selection back and return the warehouse and the recovery id.

    Parameters
    ----------
    settings : Settings
        As given; the corpus and models of the selection are used where none are given.
    selection : str
        Its id, a beginning of it, or ``latest``.
    out : Path, optional
        Folder to copy the result to, beside the one in the warehouse; must be free.
    anew : bool
        Discard the checkpoints of an interrupted attempt.

    Raises
    ------
    UsageError
        If `out` is not free or there is no such selection.
    """
    refuse_taken(out)
    settings, chosen = for_selection(settings, selection)
    with session("recover", settings) as run:
        recovery_id = run.call(stages.recover, run.warehouse, run.settings, chosen, anew)
    return run.warehouse, copied(run.warehouse, recovery_id, out)


def refuse_taken(out: Path | None) -> None:
    """Raise UsageError if the folder to copy a result to is not free."""
    if out is not None and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise UsageError(f"output folder {str(out)!r} exists and is not empty; give another --out, or remove it first")


def copied(warehouse: Warehouse, recovery_id: str, out: Path | None) -> str:
    """Copy the model of recovery `recovery_id` to `out`, if one is given, and return the id."""
    if out is not None:
        copy_result(Path(warehouse.manifest("recovery", recovery_id).facts["model"]), out)
        give_to_user(out)
    return recovery_id


def look_ahead(settings: Settings, selection: str = LATEST) -> dict[str, Any]:
    """Return what `recover` would do and cost; loads the model and runs one step, keeps nothing.

    Raises
    ------
    As `recover`, for every error that is detected before training.
    """
    from curate.engines.recover.estimate import estimate
    from curate.engines.recover.training.original_predictions import PredictionCache

    settings, chosen = for_selection(settings, selection)
    limit_threads(settings.threads)
    warehouse = open_warehouse(settings)
    plan, request = recovery_stage.recipe(warehouse, settings, chosen), request_of(settings)
    rows, heldout, description = job_of(warehouse, settings, chosen, recovery_stage.result_folder(warehouse, plan.id))
    report = estimate(
        description["model"],
        rows.to_batches(),
        request,
        heldout=heldout.to_batches(),
        original=description["original"],
        template_digest=description["template_digest"],
        cache=None if description["library"] is None else PredictionCache.from_json(description["library"]),
        processes=processes(settings),
    )
    state = "cached" if plan.exists_in(warehouse) else "to do"
    return {"recovery_id": plan.id, "state": state, "selection": chosen, "loss": request.loss, **report}


def copy_result(model: Path, out: Path) -> None:
    """Copy a recovered model to the new folder `out`, there whole or not at all.

    Raises
    ------
    WarehouseError
        If the disk refuses.
    """
    unfinished = out.absolute().parent / f".tmp-{out.name}-{uuid4().hex[:8]}"
    try:
        shutil.copytree(model, unfinished)
        os.replace(unfinished, out)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise WarehouseError(
            f"cannot copy the model to {str(out)!r} ({error}); free space, or give another --out"
        ) from error
    progress.note(f"copied to {out}")
