"""Targets stage: a selection and a model → the model's answers to the selected rows, drawn until one is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.engine import open_parts
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.recovery import selected_rows
from curate.flows.stages.rendering import rendering_setting
from curate.schemas.errors import InputError
from curate.schemas.targets import TARGETS, TARGETS_SUMMARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.sample.task import SamplingTask
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1
UNUSED = ("temperature", "top_k", "top_p", "min_p")
"""Generation settings of a model that samples are drawn without; the manifest records them."""


def model_of(settings: Settings, selection_id: str) -> str:
    """Return the folder or hub name of the model that answers.

    Raises
    ------
    InputError
        If the selection was made without it and it was not given.
    """
    named = settings.sample.model
    if named not in ("original", "compressed"):
        return named
    folder: str | None = getattr(settings, named)
    if folder is None:
        raise InputError(f"selection {selection_id} was made without the {named} model; pass --{named} FOLDER")
    return folder


def recipe(warehouse: Warehouse, settings: Settings, selection_id: str) -> Recipe:
    """Return the recipe of targets: the selection, the model's files, and how answers are drawn and accepted.

    Raises
    ------
    InputError
        If there is no such model.
    """
    from curate.engines.models.checkpoints import generation_files

    model = model_of(settings, selection_id)
    inputs = {"selection": selection_id, "model": warehouse.digests.files(generation_files(model))}
    how = {name: getattr(settings.score, name) for name in ("template", "max_length", "dtype")}
    options = settings.sample.model_dump(exclude={"model", "part_items"})
    if settings.sample.accept == "reference":
        del options["threshold"]
    how |= {"seed": settings.seed, **options, **rendering_setting(settings.score.template, model)}
    layout = {"device": settings.score.device, "part_items": settings.sample.part_items}
    return Recipe("targets", VERSION, inputs, how, layout)


def sample(warehouse: Warehouse, settings: Settings, selection_id: str) -> str:
    """Draw a model's answers to the rows of a selection, and return the targets id.

    Raises
    ------
    InputError
        If the model cannot be used.
    """
    plan = recipe(warehouse, settings, selection_id)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        rows = selected_rows(warehouse, warehouse.manifest("selection", selection_id)).combine_chunks()
        model = model_of(settings, selection_id)
        workers, memory = _draw(builder, settings, rows, model)
        drawn = pa.concat_tables(builder.read_part("part", index) for index in range(builder.finished()))
        summary = summary_rows(rows["example_id"].to_pylist(), drawn)
        builder.write("summary", 0, pa.Table.from_pylist(summary, schema=TARGETS_SUMMARY), TARGETS_SUMMARY)
        facts = {"model": model, "not_used": _unused(model), **counts(drawn, summary, settings.sample.best_of)}
        builder.finish({**facts, **({"workers": workers} if workers else {})}, memory)
    return plan.id


def _draw(builder: Builder, settings: Settings, rows: pa.Table, model: str) -> tuple[list[dict[str, Any]], int]:
    """Draw the samples of all parts that are not finished; return what each worker did, and their peak memory."""
    parts = dict(enumerate(rows.to_batches(max_chunksize=settings.sample.part_items)))
    new = [(index, part) for index, part in parts.items() if not builder.has("part", index)]
    done = len(rows) - sum(len(part) for _, part in new)
    with open_parts(settings, _task(settings, model), len(new), settings.score.device, settings.score.workers) as pool:
        with progress.stage("sample", len(rows), done) as advance:
            for index, table in pool.run(new, advance):
                builder.write("part", index, table, TARGETS)
    return pool.worker_summaries(), pool.peak_memory


def _task(settings: Settings, model: str) -> SamplingTask:
    from curate.engines.sample.task import SamplingConfig, SamplingTask

    options = settings.sample.model_dump(exclude={"model", "part_items"})
    shared = settings.score.model_dump(include={"template", "max_length"})
    config = SamplingConfig(**options, **shared, seed=settings.seed)
    return SamplingTask(model, config, settings.score.dtype, settings.trust_remote_code)


def summary_rows(example_ids: Sequence[str], drawn: pa.Table) -> list[dict[str, Any]]:
    """Return a row of `TARGETS_SUMMARY` for every id, in order."""
    n_drawn = dict.fromkeys(example_ids, 0)
    accepted: dict[str, int] = {}
    for row in drawn.select(["example_id", "number", "accepted"]).to_pylist():
        n_drawn[row["example_id"]] += 1
        if row["accepted"]:
            accepted[row["example_id"]] = row["number"]
    return [
        {"example_id": one, "n_drawn": count, "solved": one in accepted, "accepted_number": accepted.get(one)}
        for one, count in n_drawn.items()
    ]


def counts(drawn: pa.Table, summary: Sequence[dict[str, Any]], best_of: int) -> dict[str, Any]:
    """Return the figures of the manifest.

    ``tokens_always`` estimates what `best_of` samples of every row would have cost: each row's mean length, that often.
    """
    answered = [row for row in summary if row["n_drawn"]]
    tokens = dict.fromkeys((row["example_id"] for row in answered), 0)
    cut = 0
    for row in drawn.select(["example_id", "n_tokens", "stopped_early"]).to_pylist():
        tokens[row["example_id"]] += row["n_tokens"]
        cut += row["stopped_early"]
    return {
        "rows": len(summary),
        "asked": len(answered),
        "solved": sum(row["solved"] for row in answered),
        "samples": len(drawn),
        "mean_samples": len(drawn) / len(answered) if answered else None,
        "tokens": sum(tokens.values()),
        "tokens_always": round(sum(best_of * tokens[row["example_id"]] / row["n_drawn"] for row in answered)),
        "stopped_early": cut,
        "warnings": _warnings(len(summary), len(answered), len(drawn), cut),
    }


def _warnings(rows: int, answered: int, samples: int, cut: int) -> list[str]:
    messages = []
    if answered < rows:
        messages.append(
            f"{rows - answered:,} of {rows:,} rows were not asked: their last turn is no answer, or the prompt is "
            "longer than --max-length"
        )
    if 2 * cut > samples:
        messages.append(
            f"{cut:,} of {samples:,} samples were cut off before they ended; raise --max-new-tokens, or use a model "
            "that ends its answers"
        )
    return messages


def _unused(model: str) -> dict[str, Any]:
    """Return the model's own settings of random sampling, which are not used."""
    import json

    from curate.engines.models.checkpoints import generation_settings

    path = generation_settings(model)
    own = {} if path is None else json.loads(path.read_text("utf-8"))
    return {name: own[name] for name in UNUSED if own.get(name) is not None}
