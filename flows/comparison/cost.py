"""``curate compare --plan``: how many cells, which are done, and what the rest would cost. Trains and asks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows import pipeline
from curate.flows.comparison.grid import MATCHED, OWN_EPOCHS, Cell, cells, method_of
from curate.flows.comparison.run import Ground, budget_tokens, ground_of, prepared, selecting, tokens_kept, training
from curate.flows.demo.pair import is_demo
from curate.flows.operations.plan import CHARACTERS_PER_TOKEN, TRAINING_FLOPS, corpus_size, demo_settings, weight_bytes
from curate.flows.stages import corpus, scores
from curate.flows.stages.comparison_cell import recipe as trial_recipe
from curate.flows.stages.evaluating.judge import check_judge
from curate.flows.stages.recovery import request_of
from curate.flows.stages.selecting.request import resolve_request
from curate.flows.stages.stage import stage_of
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings


def price(settings: Settings) -> dict[str, Any]:
    """Return a line per arm and budget, and the whole: cells, cells that are done, and an estimate in words.

    Raises
    ------
    UsageError, InputError
        What the comparison itself would say of its settings and files before computing anything.
    """
    check_judge(settings)
    demo = is_demo(settings)
    settings = prepared(settings)
    warehouse = Warehouse(settings.warehouse)
    settings = demo_settings(warehouse, settings) if demo else settings
    read = corpus.recipe(warehouse, settings)
    scored = scores.recipe(warehouse, settings, read.id)
    ground = ground_of(warehouse, settings, read.id, scored.id) if scored.is_made(warehouse) else None
    size = ground or _guess(warehouse, settings, read)
    seen: dict[Cell, str] = {}
    finished: dict[Cell, dict[str, Any]] = {}
    todo = cells(settings)
    for cell in todo if ground else []:
        done = _done(warehouse, settings, ground, cell, seen)  # type: ignore[arg-type]
        if done is not None:
            finished[cell] = done
    parameters = weight_bytes(str(settings.compressed)) / 2
    lines = []
    for arm, budget in dict.fromkeys((cell.arm, cell.budget) for cell in todo):
        mine = [cell for cell in todo if (cell.arm, cell.budget) == (arm, budget)]
        each = None if size is None else _tokens(settings, size, arm, budget)
        lines.append(
            {
                "arm": arm,
                "budget": budget,
                "cells": len(mine),
                "done": sum(cell in finished for cell in mine),
                "tokens_each": None if each is None else round(each),
                "training_FLOPs_each": None if each is None else f"{TRAINING_FLOPS * parameters * each:.1e}",
            }
        )
    told = {"arms": lines, "cells": len(todo), "done": len(finished)}
    asking = [cell for cell in todo if cell.arm != OWN_EPOCHS and _takes_pilots(cell)]
    piloting = _pilots(warehouse, settings, ground, asking)
    return {**told, **piloting, "estimate": _estimate(lines, list(finished.values()))}


def _takes_pilots(cell: Cell) -> bool:
    """Return True if the cell's method divides its budget by gain curves."""
    from curate.selectors.registry import selector

    name, options = method_of(cell.arm)
    entry = selector(name)
    return "gain_ceiling" in entry.needs(entry.settings(**options), False)


def _pilots(warehouse: Warehouse, settings: Settings, ground: Ground | None, asking: list[Cell]) -> dict[str, int]:
    """Return how many sets of pilots the cells `asking` for them share, one for each seed, and how many are made."""
    if not asking:
        return {}
    made: set[str] = set()

    def predict(run: Callable[..., Any], *arguments: Any) -> str:
        artefact_id = predict_id(run, *arguments)
        if stage_of(run).noun == "pilots" and warehouse.has("pilots", artefact_id):
            made.add(artefact_id)
        return artefact_id

    for cell in asking if ground else []:
        pipeline.walk(warehouse, resolve_request(selecting(settings, ground, cell)), predict)  # type: ignore[arg-type]
    return {"pilots": len({cell.seed for cell in asking}), "pilots_done": len(made)}


def _guess(warehouse: Warehouse, settings: Settings, read: Recipe) -> Ground | None:
    """Return the size of a corpus that is not scored, its tokens told from its characters; None if not ingested."""
    characters, rows = corpus_size(warehouse, read)
    if not characters or not rows:
        return None
    tokens = min(characters / CHARACTERS_PER_TOKEN, rows * settings.score.max_length)
    return Ground(read.id, "", round(tokens), rows, ())


def _tokens(settings: Settings, size: Ground, arm: str, budget: str) -> float:
    """Return the tokens that one cell trains on."""
    passes = request_of(settings).epochs
    return passes * (size.tokens if arm == OWN_EPOCHS else budget_tokens(budget, size))


def _done(
    warehouse: Warehouse, settings: Settings, ground: Ground, cell: Cell, seen: dict[Cell, str]
) -> dict[str, Any] | None:
    """Return what the manifest of a finished cell says of its training, None if it is not finished."""
    like = seen.get(Cell(settings.compare.methods[0], cell.budget, cell.seed), "") if cell.arm == MATCHED else ""
    selection = resolve_request(selecting(settings, ground, cell, like))
    chosen = str(pipeline.walk(warehouse, selection, predict_id))
    seen[cell] = chosen
    if not warehouse.has("selection", chosen):
        return None
    request = training(settings, ground, cell, tokens_kept(warehouse, chosen, ground.scores))
    plan = trial_recipe(warehouse, settings, chosen, request)
    if not plan.is_made(warehouse):
        return None
    found: dict[str, Any] = warehouse.manifest("evaluation", plan.id).facts["training"]
    return found


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
