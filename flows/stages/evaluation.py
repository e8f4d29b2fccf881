"""Evaluation stage: one model and a list of tasks → a result per item, and a summary per task and group.

The original and the compressed model have evaluations of their own, run once;
`curate.flows.operations.evaluation_report` compares them.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from curate.flows import progress
from curate.flows.stages.evaluating.clusters import by_cluster
from curate.flows.stages.evaluating.judge import judge_input, judge_of
from curate.flows.stages.evaluating.original import original_input, original_of
from curate.flows.stages.evaluating.results import summary_rows, warnings
from curate.flows.stages.evaluating.tasks import (
    evaluated_files,
    evaluation_items,
    harness_tasks,
    options_setting,
    tasks_digest,
    version_of,
)
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.rendering import rendering_setting
from curate.schemas.evaluation import RESULTS, SUMMARY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.engines.evaluate import Subject
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse


class Evaluated(NamedTuple):
    """What a model said to all items."""

    results: pa.Table
    """Schema `RESULTS`."""
    window: int | None
    """Tokens of the windows in which plain texts were read; None without any."""


def recipe(
    warehouse: Warehouse, settings: Settings, model: str, corpus: str | None, other_inputs: Mapping[str, str]
) -> Recipe:
    """Return the recipe of an evaluation: the model's files, the content of the tasks, and the evaluation settings.

    Parameters
    ----------
    model : str
        Folder or hub name.
    corpus : str or None
        Id of the corpus whose prompts are excluded from the items.
    other_inputs : mapping of str to str
        Other input artefacts: ``recovery`` and ``selection`` of the model, if known, and ``clusters`` to group held-out
        rows by.
    """
    inputs = {
        "model": warehouse.digests.files(evaluated_files(settings, model)),
        "tasks": tasks_digest(warehouse, settings),
    }
    inputs |= {"corpus": corpus} if corpus and settings.evaluate.decontaminate else {}
    inputs |= judge_input(warehouse, settings) | original_input(warehouse, settings)
    how = {name: getattr(settings.score, name) for name in ("template", "max_length", "dtype")}
    how |= {"max_new_tokens": settings.evaluate.max_new_tokens, "limit": settings.evaluate.limit}
    how |= rendering_setting(settings.score.template, model, judge_of(settings)) | options_setting(settings)
    layout = {name: getattr(settings.score, name) for name in ("device", "batch_tokens")}
    layout["part_items"] = settings.evaluate.part_items
    return Recipe("evaluation", version_of(settings), {**inputs, **other_inputs}, how, layout)


def evaluate(
    warehouse: Warehouse, settings: Settings, model: str, corpus: str | None, other_inputs: Mapping[str, str]
) -> str:
    """Evaluate one model on all tasks, and return the evaluation id; parameters as in `recipe`."""
    plan = recipe(warehouse, settings, model, corpus, other_inputs)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        items, removed = evaluation_items(warehouse, settings, corpus)
        if "clusters" in other_inputs:
            items = by_cluster(warehouse, settings, items, other_inputs["clusters"])
        evaluated = run_items(builder, settings, items, model)
        builder.finish(facts(settings, evaluated, model, removed))
    return plan.id


def run_items(builder: Builder, settings: Settings, items: pa.Table, model: str) -> Evaluated:
    """Evaluate a model on all items, resuming after the last finished part; write and return results, write summary."""
    from curate.engines.evaluate import EvaluateConfig, load_subject, window_length
    from curate.engines.evaluate import evaluate as run

    options, score = settings.evaluate, settings.score
    subject, judge_name = load_subject(model, **_loading(settings)), judge_of(settings)
    judge = load_subject(judge_name, **_loading(settings)) if judge_name is not None else None
    config = EvaluateConfig(
        score.template,
        score.max_length,
        max_new_tokens=options.max_new_tokens,
        option_layout=options.option_layout,
        normalise=options.normalise,
        batch_tokens=score.batch_tokens,
        most_windows=options.limit,
    )
    length = window_length(subject, config)
    original = _original(settings, model, subject, length)
    batches = items.to_batches(max_chunksize=options.part_items)
    finished = builder.finished()
    with progress.stage("evaluate", len(items), min(len(items), finished * options.part_items)) as advance:
        new_results = run(islice(batches, finished, None), subject, config, advance, judge, original)
        for index, batch in enumerate(new_results, start=finished):
            builder.write("part", index, batch, RESULTS)
        # The results of lm-eval, which runs its tasks as a whole, are the last part.
        if (harness := harness_tasks(settings)) and builder.finished() <= len(batches):
            from curate.engines.evaluate.harness import run_harness

            builder.write("part", len(batches), run_harness(subject, harness, options.limit), RESULTS)
    results = pa.concat_tables(builder.read_part("part", index) for index in range(builder.finished()))
    builder.write("summary", 0, pa.Table.from_pylist(summary_rows(results), schema=SUMMARY), SUMMARY)
    has_text = bool(items.filter(pc.equal(pc.list_value_length(items["messages"]), 0)).num_rows)
    return Evaluated(results, length if has_text else None)


def _loading(settings: Settings) -> dict[str, Any]:
    score = settings.score
    return {"device": score.device, "dtype": score.dtype, "trust_remote_code": settings.trust_remote_code}


def _original(settings: Settings, model: str, subject: Subject, length: int) -> Subject | None:
    """Return the original to measure the divergence from, checked against the model; None if no task needs it."""
    from curate.engines.evaluate import check_pair, load_subject

    name = original_of(settings)
    if name is None or name == model:
        return None if name is None else subject
    original = load_subject(name, **_loading(settings))
    check_pair(subject, original, (model, name), length)
    return original


def facts(settings: Settings, evaluated: Evaluated, model: str, removed: int) -> dict[str, Any]:
    """Return the facts for the manifest of an evaluation."""
    results, judge, original = evaluated.results, judge_of(settings), original_of(settings)
    return {
        "model": model,
        **({} if judge is None else {"judge": judge}),
        **({} if original is None else {"original": original}),
        **({} if evaluated.window is None else {"window": evaluated.window}),
        "tasks": list(settings.evaluate.tasks),
        "n_items": len(results),
        "n_contaminated": removed,
        "statuses": dict(sorted(Counter(results["status"].to_pylist()).items())),
        "warnings": warnings(results, removed),
    }
