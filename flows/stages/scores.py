"""Scores: a model pair (or one model) reads the corpus once → one column per signal (METHODS: PASER, DONOD)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.known_scores import KnownScores, earlier
from curate.flows.stages.recipe import Recipe
from curate.schemas.errors import InputError, UsageError
from curate.schemas.scores import SCORE_VERSION, SCORES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from curate.schemas.settings import Settings
    from curate.storage.parts import Builder
    from curate.storage.warehouse import Warehouse

    Batches = Iterable[pa.RecordBatch]
    Progress = Callable[[int], None]
    Run = Callable[[Batches, int, Progress], Iterator[pa.RecordBatch]]

TEACHERS = "cache/teachers"
"""Folder of the warehouse in which original models leave their states for ``--sequential``."""


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str) -> Recipe:
    """Return what the scores are made of: the corpus, the models' weights and tokenizers, and how they are run."""
    from curate.engines.checkpoints import model_files

    if settings.compressed is None:
        raise InputError("no model was given; pass --compressed FOLDER, and --original FOLDER for a pair")
    if settings.score.teacher_cache != "exact" and not (settings.score.sequential and settings.original):
        raise UsageError(
            f"--teacher-cache {settings.score.teacher_cache} says what --sequential keeps of an original model; "
            "pass --sequential and --original too"
        )
    inputs = {"corpus": corpus_id}
    for role, model in (("original", settings.original), ("compressed", settings.compressed)):
        if model is not None:
            inputs[role] = warehouse.digests.files(model_files(model))
    how = settings.score.model_dump(exclude={"device", "batch_tokens", "sequential"})
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

    check_models(
        settings.original,
        settings.compressed,
        device=settings.score.device,
        trust_remote_code=settings.trust_remote_code,
    )


def score(warehouse: Warehouse, settings: Settings, corpus_id: str) -> str:
    """Score every example of the corpus that no earlier corpus had, and return the scores id."""
    plan = recipe(warehouse, settings, corpus_id)
    if plan.is_made(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        made = earlier(warehouse, plan)
        known = KnownScores(warehouse.read("scores", one.id) for one in made)
        ids = warehouse.read("corpus", corpus_id, columns=["example_id"]).column("example_id")
        reused = known.count(ids)
        run: Run = _nothing_to_do
        engine = dict(made[0].facts) if made else {}
        if reused < len(ids):
            engine, run = _engine(warehouse, settings, plan, corpus_id, known, [one.id for one in made])
        finished = builder.finished()
        with progress.stage("score", len(ids), builder.rows("part")) as advance:
            batches = islice(_conversations(warehouse, corpus_id), finished, None)
            parts = known.complete(batches, lambda new: run(new, finished, advance), advance)
            for index, part in enumerate(parts, start=finished):
                builder.write("part", index, part, SCORES)
        builder.finish(engine | _facts(builder, settings) | {"n_reused": reused})
    return plan.id


def _conversations(warehouse: Warehouse, corpus_id: str) -> Iterator[pa.RecordBatch]:
    return warehouse.batches("corpus", corpus_id, columns=["example_id", "messages", "tools"])


def _nothing_to_do(new: Batches, first: int, advance: Progress) -> Iterator[pa.RecordBatch]:
    """Yield no scores for each batch of no rows: every row was scored before, and no model is loaded."""
    for _ in new:
        yield pa.RecordBatch.from_pylist([], SCORES)


def _engine(
    warehouse: Warehouse, settings: Settings, plan: Recipe, corpus_id: str, known: KnownScores, made: list[str]
) -> tuple[dict[str, Any], Run]:
    """Load the models and return what the manifest should say of them, and how batches are scored."""
    from curate.engines.models import load_pair
    from curate.engines.score import ScoreConfig, facts, score
    from curate.engines.sequential import Original, read_original

    how = settings.score
    config = ScoreConfig(
        max_length=how.max_length,
        template=how.template,
        probe_lr=how.probe_lr,
        batch_tokens=how.batch_tokens,
        ifd=how.ifd,
        layers=how.layers,
        teacher_top=None if how.teacher_cache == "exact" else int(how.teacher_cache.partition("=")[2]),
    )
    where: Any = {"device": how.device, "dtype": how.dtype, "trust_remote_code": settings.trust_remote_code}
    first, second, teacher = settings.original, str(settings.compressed), None
    if how.sequential and first is not None:
        causes = {"original": plan.inputs["original"], "corpus": corpus_id, "known": ",".join(made)}
        original = Original(first, second, causes, **where)
        with progress.stage("read") as advance:
            teacher, config = read_original(
                lambda: known.new(_conversations(warehouse, corpus_id)),
                original,
                config,
                warehouse.root / TEACHERS,
                advance,
            )
        first = None
    pair = load_pair(first, second, **where)

    def run(new: Batches, start: int, advance: Progress) -> Iterator[pa.RecordBatch]:
        return score(new, pair, config, advance, teacher, start)

    return facts(pair, config, teacher), run


def _facts(builder: Builder, settings: Settings) -> dict[str, Any]:
    """Return the counts of each status, and what the models were called."""
    statuses: dict[str, int] = {}
    for index in range(builder.finished()):
        for entry in builder.read_part("part", index)["status"].value_counts().to_pylist():
            statuses[entry["values"]] = statuses.get(entry["values"], 0) + entry["counts"]
    models = {"original": settings.original, "compressed": settings.compressed}
    return {"statuses": statuses, "models": models}
