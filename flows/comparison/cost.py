"""``curate compare --plan``: how many cells, how many are done, and what the others would cost. Trains nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows import pipeline
from curate.flows.comparison.grid import MATCHED, OWN_EPOCHS, Cell, cells, method_of
from curate.flows.comparison.run import (
    SharedInputs,
    budget_tokens,
    prepared,
    read_inputs,
    selecting,
    tokens_kept,
    training,
)
from curate.flows.demo.pair import is_demo
from curate.flows.operations.corpus_tokens import mean_row_tokens
from curate.flows.operations.plan import demo_settings
from curate.flows.operations.plan_costs import training_operations, weight_bytes
from curate.flows.session import open_warehouse
from curate.flows.stages import corpus, scores
from curate.flows.stages.comparison_cell import recipe as cell_recipe
from curate.flows.stages.evaluating.judge import check_judge
from curate.flows.stages.recovering.request import request_of
from curate.flows.stages.selecting.request import resolve_request
from curate.flows.stages.stage import stage_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def estimate(settings: Settings) -> dict[str, Any]:
    """Return a line per arm and budget, and the totals: cells, finished cells, and an estimate in words.

    Raises
    ------
    UsageError, InputError
        As the comparison itself raises for its settings and files, before computing anything.
    """
    check_judge(settings)
    demo = is_demo(settings)
    settings = prepared(settings)
    warehouse = open_warehouse(settings)
    settings = demo_settings(warehouse, settings) if demo else settings
    corpus_recipe = corpus.recipe(warehouse, settings)
    scored = scores.recipe(warehouse, settings, corpus_recipe.id)
    inputs = read_inputs(warehouse, settings, corpus_recipe.id, scored.id) if scored.exists_in(warehouse) else None
    size = inputs or _guess(warehouse, settings, corpus_recipe)
    predicted: dict[Cell, str] = {}
    finished: dict[Cell, dict[str, Any]] = {}
    todo = cells(settings)
    for cell in todo if inputs else []:
        done = _training_of(warehouse, settings, inputs, cell, predicted)  # type: ignore[arg-type]
        if done is not None:
            finished[cell] = done
    operations = training_operations(settings) * weight_bytes(str(settings.compressed)) / 2  # of a token
    lines = []
    for arm, budget, loss in dict.fromkeys((cell.arm, cell.budget, cell.recipe) for cell in todo):
        own = [cell for cell in todo if (cell.arm, cell.budget, cell.recipe) == (arm, budget, loss)]
        each = None if size is None else _tokens(settings, size, arm, budget)
        lines.append(
            {
                "arm": arm,
                "budget": budget,
                **({"recipe": loss} if loss else {}),
                "cells": len(own),
                "done": sum(cell in finished for cell in own),
                "tokens_each": None if each is None else round(each),
                "training_FLOPs_each": None if each is None else f"{operations * each:.1e}",
            }
        )
    summary = {"arms": lines, "cells": len(todo), "done": len(finished)}
    piloted = [cell for cell in todo if cell.arm != OWN_EPOCHS and _takes_pilots(cell)]
    piloting = _pilots(warehouse, settings, inputs, piloted)
    return {**summary, **piloting, "estimate": _estimate(lines, list(finished.values()))}


def _takes_pilots(cell: Cell) -> bool:
    """Return True if the cell's method divides its budget by gain curves."""
    from curate.selectors.registry import selector

    name, options = method_of(cell.arm)
    entry = selector(name)
    return "gain_ceiling" in entry.needs(entry.settings(**options), False)


def _pilots(
    warehouse: Warehouse, settings: Settings, inputs: SharedInputs | None, piloted: list[Cell]
) -> dict[str, int]:
    """Return how many sets of pilots the cells `piloted` share, one for each seed, and how many exist."""
    if not piloted:
        return {}
    existing: set[str] = set()

    def predict(run: Callable[..., Any], *arguments: Any) -> str:
        artefact_id = predict_id(run, *arguments)
        if stage_of(run).noun == "pilots" and warehouse.has("pilots", artefact_id):
            existing.add(artefact_id)
        return artefact_id

    for cell in piloted if inputs else []:
        pipeline.walk(warehouse, resolve_request(selecting(settings, inputs, cell)), predict)  # type: ignore[arg-type]
    return {"pilots": len({cell.seed for cell in piloted}), "pilots_done": len(existing)}


def _guess(warehouse: Warehouse, settings: Settings, corpus_recipe: Recipe) -> SharedInputs | None:
    """Return the size of a corpus without scores, its tokens estimated from a sample; None if not ingested."""
    row_tokens = mean_row_tokens(warehouse, settings, corpus_recipe)
    if row_tokens is None:
        return None
    rows = warehouse.manifest("corpus", corpus_recipe.id).rows()
    return SharedInputs(corpus_recipe.id, "", round(rows * row_tokens), rows, ())


def _tokens(settings: Settings, size: SharedInputs, arm: str, budget: str) -> float:
    """Return the tokens that one cell trains on."""
    passes = request_of(settings).epochs
    return passes * (size.tokens if arm == OWN_EPOCHS else budget_tokens(budget, size))


def _training_of(
    warehouse: Warehouse, settings: Settings, inputs: SharedInputs, cell: Cell, predicted: dict[Cell, str]
) -> dict[str, Any] | None:
    """Return the training facts in the manifest of a finished cell, None if it is not finished."""
    like = predicted.get(replace(cell, arm=settings.compare.methods[0]), "") if cell.arm == MATCHED else ""
    selection = resolve_request(selecting(settings, inputs, cell, like))
    chosen = str(pipeline.walk(warehouse, selection, predict_id))
    predicted[cell] = chosen
    if not warehouse.has("selection", chosen):
        return None
    request = training(settings, inputs, cell, tokens_kept(warehouse, chosen, inputs.scores))
    plan = cell_recipe(warehouse, settings, chosen, request)
    if not plan.exists_in(warehouse):
        return None
    training_facts: dict[str, Any] = warehouse.manifest("evaluation", plan.id).facts["training"]
    return training_facts


def predict_id(run: Callable[..., str], warehouse: Warehouse, *arguments: Any) -> str:
    """Return the id that a stage would return, without running it: a way to call the pipeline, like `directly`."""
    return stage_of(run).recipe(warehouse, *arguments).id


def _estimate(lines: list[dict[str, Any]], finished: list[dict[str, Any]]) -> str:
    left = sum((line["cells"] - line["done"]) * (line["tokens_each"] or 0) for line in lines)
    if not left:
        known = all(line["tokens_each"] is not None for line in lines)
        return "nothing is left to do" if known else "tokens are unknown until the corpus is ingested"
    if not finished:
        return f"{left:,} tokens to train on; the time is unknown until the first cell is done"
    pace = float(np.median([(one["seconds_training"] + one["seconds_asking"]) / one["tokens"] for one in finished]))
    return f"{left:,} tokens to train on, about {left * pace / 60:.0f} minutes at the pace of the cells that are done"
