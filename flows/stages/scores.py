"""Scores: a model pair (or one model) reads the corpus once → one column per signal (METHODS: PASER, DONOD)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.schemas.errors import InputError
from curate.schemas.scores import SCORE_VERSION, SCORES

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.parts import Builder
    from curate.storage.warehouse import Warehouse


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str) -> Recipe:
    """Return what the scores are made of: the corpus, the models' weights and tokenizers, and how they are run."""
    from curate.engines.checkpoints import model_files

    if settings.compressed is None:
        raise InputError("no model was given; pass --compressed FOLDER, and --original FOLDER for a pair")
    inputs = {"corpus": corpus_id}
    for role, model in (("original", settings.original), ("compressed", settings.compressed)):
        if model is not None:
            inputs[role] = warehouse.digests.files(model_files(model))
    how = settings.score.model_dump(exclude={"device", "batch_tokens"})
    layout = {"device": settings.score.device, "batch_tokens": settings.score.batch_tokens}
    return Recipe("scores", SCORE_VERSION, inputs, how, layout)


def check(warehouse: Warehouse, settings: Settings) -> None:
    """Refuse models that cannot be scored before hours go into embedding; passes at once where the scores exist.

    Raises
    ------
    InputError
        See `curate.engines.preflight.check_models`.
    """
    from curate.flows.stages import corpus

    if settings.compressed is None or recipe(warehouse, settings, corpus.recipe(warehouse, settings).id).is_made(
        warehouse
    ):
        return
    from curate.engines.preflight import check_models

    check_models(settings.original, settings.compressed, trust_remote_code=settings.trust_remote_code)


def score(warehouse: Warehouse, settings: Settings, corpus_id: str) -> str:
    """Score every example of the corpus and return the scores id."""
    plan = recipe(warehouse, settings, corpus_id)
    if plan.is_made(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        from curate.engines.models import load_pair
        from curate.engines.score import ScoreConfig
        from curate.engines.score import facts as engine_facts
        from curate.engines.score import score as run

        how = settings.score
        pair = load_pair(
            settings.original,
            str(settings.compressed),
            device=how.device,
            dtype=how.dtype,
            trust_remote_code=settings.trust_remote_code,
        )
        config = ScoreConfig(
            max_length=how.max_length,
            template=how.template,
            probe_lr=how.probe_lr,
            batch_tokens=how.batch_tokens,
            ifd=how.ifd,
        )
        corpus = warehouse.manifest("corpus", corpus_id)
        finished = builder.finished()
        batches = warehouse.batches("corpus", corpus_id, columns=["example_id", "messages", "tools"])
        with progress.stage("score", corpus.rows(), builder.rows("part")) as advance:
            for index, batch in enumerate(run(islice(batches, finished, None), pair, config, advance), start=finished):
                builder.write("part", index, batch, SCORES)
        builder.finish(_facts(builder, settings, engine_facts(pair, config)))
    return plan.id


def _facts(builder: Builder, settings: Settings, engine: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of each status beside what the engine recorded of models and template."""
    statuses: dict[str, int] = {}
    for index in range(builder.finished()):
        for entry in builder.read_part("part", index)["status"].value_counts().to_pylist():
            statuses[entry["values"]] = statuses.get(entry["values"], 0) + entry["counts"]
    models = {"original": settings.original, "compressed": settings.compressed}
    return {"statuses": statuses, "models": models, **engine}
