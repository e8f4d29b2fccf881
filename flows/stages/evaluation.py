"""Evaluation stage: one model and a list of tasks → a result per item, and a summary per task and group.

The original and the compressed model have evaluations of their own, run once;
`curate.flows.operations.evaluation_report` compares them.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.evaluating.clusters import by_cluster
from curate.flows.stages.evaluating.judge import judge_input, judge_of
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

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse


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
    inputs |= judge_input(warehouse, settings)
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
        results = run_items(builder, settings, items, model)
        builder.finish(facts(settings, results, model, removed))
    return plan.id


def run_items(builder: Builder, settings: Settings, items: pa.Table, model: str) -> pa.Table:
    """Evaluate a model on all items, resuming after the last finished part; write and return results, write summary."""
    from curate.engines.evaluate import EvaluateConfig, load_subject
    from curate.engines.evaluate import evaluate as run

    options, score = settings.evaluate, settings.score
    loading: Any = {"device": score.device, "dtype": score.dtype, "trust_remote_code": settings.trust_remote_code}
    subject, judge_name = load_subject(model, **loading), judge_of(settings)
    judge = load_subject(judge_name, **loading) if judge_name is not None else None
    config = EvaluateConfig(
        score.template,
        score.max_length,
        max_new_tokens=options.max_new_tokens,
        option_layout=options.option_layout,
        normalise=options.normalise,
        batch_tokens=score.batch_tokens,
    )
    batches = items.to_batches(max_chunksize=options.part_items)
    finished = builder.finished()
    with progress.stage("evaluate", len(items), min(len(items), finished * options.part_items)) as advance:
        new_results = run(islice(batches, finished, None), subject, config, advance, judge)
        for index, batch in enumerate(new_results, start=finished):
            builder.write("part", index, batch, RESULTS)
        # The results of lm-eval, which runs its tasks as a whole, are the last part.
        if (harness := harness_tasks(settings)) and builder.finished() <= len(batches):
            from curate.engines.evaluate.harness import run_harness

            builder.write("part", len(batches), run_harness(subject, harness, options.limit), RESULTS)
    results = pa.concat_tables(builder.read_part("part", index) for index in range(builder.finished()))
    builder.write("summary", 0, pa.Table.from_pylist(summary_rows(results), schema=SUMMARY), SUMMARY)
    return results


def facts(settings: Settings, results: pa.Table, model: str, removed: int) -> dict[str, Any]:
    """Return the facts for the manifest of an evaluation."""
    judge = judge_of(settings)
    return {
        "model": model,
        **({} if judge is None else {"judge": judge}),
        "tasks": list(settings.evaluate.tasks),
        "n_items": len(results),
        "n_contaminated": removed,
        "statuses": dict(sorted(Counter(results["status"].to_pylist()).items())),
        "warnings": warnings(results, removed),
    }
