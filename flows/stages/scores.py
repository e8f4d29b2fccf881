"""Scores stage: one pass of a model pair (or one model) over the corpus → one column per signal (PASER, DONOD)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows.stages.engine import check_workers
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.rendering import rendering_setting
from curate.flows.stages.reuse.scores import KnownScores, earlier
from curate.flows.stages.scoring.parts import Scorers
from curate.schemas.errors import InputError, UsageError
from curate.schemas.scores import SCORE_VERSION, SCORES

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str) -> Recipe:
    """Return the recipe of the scores: the corpus, the models' weights and tokenizers, and the scoring settings."""
    from curate.engines.models.checkpoints import model_files

    if settings.compressed is None:
        raise InputError("no model was given; pass --compressed FOLDER, and --original FOLDER for a pair")
    if settings.score.teacher_cache != "exact" and not (settings.score.sequential and settings.original):
        raise UsageError(
            f"--teacher-cache {settings.score.teacher_cache} sets what --sequential stores of the original model's "
            "predictions; pass --sequential and --original too"
        )
    inputs = {"corpus": corpus_id}
    for role, model in (("original", settings.original), ("compressed", settings.compressed)):
        if model is not None:
            inputs[role] = warehouse.digests.files(model_files(model))
    how = settings.score.model_dump(exclude={"device", "batch_tokens", "sequential", "workers", "sketch"})
    # Added only if wanted, so that scores without sketches keep their ids.
    if settings.score.sketch:
        how["sketch"] = True
    how |= rendering_setting(settings.score.template, settings.original, settings.compressed)
    layout = {"device": settings.score.device, "batch_tokens": settings.score.batch_tokens}
    return Recipe("scores", SCORE_VERSION, inputs, how, layout)


def check(warehouse: Warehouse, settings: Settings) -> None:
    """Check the models before the long stages run; returns at once if the scores exist already.

    Raises
    ------
    InputError
        See `curate.engines.models.preflight.check_models`.
    UsageError
        See `check_workers`; or if ``--sequential`` is asked for on a cluster.
    """
    from curate.flows.stages import corpus

    if settings.compressed is None or recipe(warehouse, settings, corpus.recipe(warehouse, settings).id).exists_in(
        warehouse
    ):
        return
    from curate.engines.models.preflight import check_models

    device = check_workers(settings, settings.score.device, settings.score.workers)
    if settings.engine == "ray" and settings.score.sequential:
        raise UsageError(
            "--sequential keeps the original's predictions in the warehouse, which the nodes of a Ray cluster do not "
            "read; leave it out, or pass --engine local"
        )
    check_models(settings.original, settings.compressed, device=device, trust_remote_code=settings.trust_remote_code)


def score(warehouse: Warehouse, settings: Settings, corpus_id: str) -> str:
    """Score every example of the corpus that was not scored in an earlier corpus, and return the scores id."""
    plan = recipe(warehouse, settings, corpus_id)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        tables = {one.id: warehouse.read("scores", one.id) for one in earlier(warehouse, plan)}
        known = KnownScores(tables)
        reusable = [warehouse.manifest("scores", name) for name in known.sources]
        ids = [one.column("example_id") for one in warehouse.batches("corpus", corpus_id, columns=["example_id"])]
        todo = [index for index in range(len(ids)) if not builder.has("part", index)]
        new = [index for index in todo if known.count(ids[index]) < len(ids[index])]
        for index in sorted(set(todo) - set(new)):
            builder.write("part", index, known.complete(ids[index]), SCORES)
        if new or not reusable:
            facts, worker_memory = Scorers(warehouse, settings, plan, known, ids).write(builder, new)
        else:
            # No model runs: the facts about the models are those of the earlier scores.
            facts, worker_memory = {name: value for name, value in reusable[0].facts.items() if name != "workers"}, 0
        reused = {"n_reused": sum(map(known.count, ids))}
        builder.finish(facts | _facts(builder, settings) | reused, worker_memory)
    return plan.id


def _facts(builder: Builder, settings: Settings) -> dict[str, Any]:
    """Return the count of each status, and the names of the models."""
    statuses: dict[str, int] = {}
    for index in range(builder.finished()):
        for entry in builder.read_part("part", index)["status"].value_counts().to_pylist():
            statuses[entry["values"]] = statuses.get(entry["values"], 0) + entry["counts"]
    models = {"original": settings.original, "compressed": settings.compressed}
    return {"statuses": statuses, "models": models}
