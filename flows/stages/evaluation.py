"""Evaluation stage: one model and a list of tasks → a result per item, and a summary per task and group.

The original and the compressed model have evaluations of their own, run once;
`curate.flows.operations.evaluation_report` compares them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from curate.flows import progress
from curate.flows.stages.engine import open_parts
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

    from curate.engines.evaluate.task import EvaluationTask
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse


class Evaluated(NamedTuple):
    """What a model said to all items."""

    results: pa.Table
    """Schema `RESULTS`."""
    window: int | None
    """Tokens of the windows in which plain texts were read; None without any."""
    workers: list[dict[str, Any]]
    """Of several, or on a cluster: what each did."""
    worker_memory: int
    """Peak memory of the workers in bytes."""


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
        builder.finish(facts(settings, evaluated, model, removed), evaluated.worker_memory)
    return plan.id


def run_items(builder: Builder, settings: Settings, items: pa.Table, model: str) -> Evaluated:
    """Evaluate a model on the items of all parts that are not finished; write and return results, write summary."""
    score = settings.score
    parts = item_parts(settings, items)
    new = [(index, part) for index, part in parts.items() if not builder.has("part", index)]
    done = sum(
        len(part) for index, part in parts.items() if isinstance(part, pa.RecordBatch) and builder.has("part", index)
    )
    task = evaluation_task(settings, model)
    with open_parts(settings, task, len(new), score.device, score.workers) as pool:
        with progress.stage("evaluate", len(items), done) as advance:
            for index, table in pool.run(new, advance):
                builder.write("part", index, table, RESULTS)
    window = pool.facts["window"]
    return Evaluated(*write_summary(builder, items, window), pool.worker_summaries(), pool.peak_memory)


def item_parts(settings: Settings, items: pa.Table) -> dict[int, Any]:
    """Return the parts of the items by number; lm-eval, which runs its tasks as a whole, is the last."""
    parts: dict[int, Any] = dict(enumerate(items.to_batches(max_chunksize=settings.evaluate.part_items)))
    if harness := harness_tasks(settings):
        from curate.engines.evaluate.task import HarnessPart

        parts[len(parts)] = HarnessPart(tuple(harness), settings.evaluate.limit)
    return parts


def write_summary(builder: Builder, items: pa.Table, window: int) -> tuple[pa.Table, int | None]:
    """Write the summary of the parts that are written; return their rows, and `window` if an item is a plain text."""
    results = pa.concat_tables(builder.read_part("part", index) for index in range(builder.finished()))
    builder.write("summary", 0, pa.Table.from_pylist(summary_rows(results), schema=SUMMARY), SUMMARY)
    has_text = bool(items.filter(pc.equal(pc.list_value_length(items["messages"]), 0)).num_rows)
    return results, window if has_text else None


def evaluation_task(settings: Settings, model: str) -> EvaluationTask:
    """Return the task of evaluating a model, with the judge and the original that its items need."""
    from curate.engines.evaluate import EvaluateConfig
    from curate.engines.evaluate.task import EvaluationTask

    options, score = settings.evaluate, settings.score
    config = EvaluateConfig(
        score.template,
        score.max_length,
        max_new_tokens=options.max_new_tokens,
        option_layout=options.option_layout,
        normalise=options.normalise,
        batch_tokens=score.batch_tokens,
        most_windows=options.limit,
    )
    others = {"judge": judge_of(settings), "original": original_of(settings)}
    return EvaluationTask(model, config, **others, dtype=score.dtype, trust_remote_code=settings.trust_remote_code)


def facts(settings: Settings, evaluated: Evaluated, model: str, removed: int) -> dict[str, Any]:
    """Return the facts for the manifest of an evaluation."""
    results, judge, original = evaluated.results, judge_of(settings), original_of(settings)
    return {
        "model": model,
        **({} if judge is None else {"judge": judge}),
        **({} if original is None else {"original": original}),
        **({} if evaluated.window is None else {"window": evaluated.window}),
        **({"workers": evaluated.workers} if evaluated.workers else {}),
        "tasks": list(settings.evaluate.tasks),
        "n_items": len(results),
        "n_contaminated": removed,
        "statuses": dict(sorted(Counter(results["status"].to_pylist()).items())),
        "warnings": warnings(results, removed),
    }
