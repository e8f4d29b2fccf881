"""Diagnosis of paths: which layers single items can do without, and what their common paths do on other items."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.diagnosing.choice_items import choice_items, halves
from curate.flows.stages.diagnosing.path_readings import accuracies, path_reader, searches_of
from curate.flows.stages.diagnosing.request import diagnosis_recipe
from curate.flows.stages.evaluating.tasks import tasks_digest
from curate.schemas.diagnosis import DIAGNOSES
from curate.selectors.search.path_votes import frequent_paths, path_text, random_paths, shortest_right

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.engines.diagnose.path_answers import PathReader
    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.selectors.search.path_votes import Search
    from curate.storage.warehouse.warehouse import Warehouse

    Item = dict[str, Any]

KIND = "paths"
FREQUENT_PATHS = 3
"""Most frequent right paths that are applied to the items held out."""
RANDOM_PATHS = 5
"""Random paths of the same length beside each of them."""


def recipe(warehouse: Warehouse, settings: Settings, model: str) -> Recipe:
    """Return the recipe of a diagnosis of paths: the model's files, the tasks, and how paths are searched."""
    tasks = {"tasks": tasks_digest(warehouse, settings)}
    shared = diagnosis_recipe(warehouse, settings, KIND, tasks, {"model": model}, ("simulations", "held_out"))
    return replace(shared, settings={**shared.settings, "limit": settings.evaluate.limit})


def diagnose(warehouse: Warehouse, settings: Settings, model: str) -> str:
    """Search paths for one part of the items, apply the most frequent ones to the other, and return the diagnosis id.

    Raises
    ------
    InputError
        If the model or a task cannot be used.
    UsageError
        If a part of the items would be empty.
    """
    plan = recipe(warehouse, settings, model)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        rows, figures = _measure(settings, choice_items(warehouse, settings), model)
        builder.write("part", 0, pa.Table.from_pylist([{"kind": KIND, **row} for row in rows], DIAGNOSES), DIAGNOSES)
        facts = {"model": model, "original": None, "tasks": list(settings.evaluate.tasks)}
        builder.finish({**facts, **figures, "metrics": list(dict.fromkeys(row["metric"] for row in rows))})
    return plan.id


def _measure(settings: Settings, items: list[Item], model: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of the table, and figures of the searched items and of those held out, never one without both."""
    searched, held = halves(items, settings.diagnose.held_out, settings.seed)
    with progress.stage("diagnose", len(items)) as advance:
        reader = path_reader(settings, model)
        searches = searches_of(reader, searched, settings, advance)
        paths = _applied(reader, held, searches, settings.seed, advance)
    full = paths.pop()
    rows = [row for place, search in enumerate(searches) for row in _item_rows(place, search)]
    for rank, one in enumerate(paths):
        rows += [{"place": rank, "metric": name, "value": one[name]} for name in ("accuracy", "accuracy_random")]
    right = {name: sum(row["value"] for row in rows if row["metric"] == name) for name in ("full_right", "best_right")}
    return rows, {
        "layers": reader.n_layers,
        "searched": {"items": len(searched), **{name: int(number) for name, number in right.items()}},
        "held_out": {"items": len(held), "accuracy_full": full["accuracy"], "paths": paths},
    }


def _applied(
    reader: PathReader, held: list[Item], searches: list[Search], seed: int, advance: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Return the accuracy of the most frequent paths on items held out, beside random ones; last, of all layers."""
    n_layers = reader.n_layers
    votes = [*frequent_paths(searches, n_layers, FREQUENT_PATHS), (tuple(range(n_layers)), 0)]
    drawn = [random_paths(n_layers, len(path), RANDOM_PATHS, seed) for path, _ in votes]
    every = [path for (own, _), others in zip(votes, drawn, strict=True) for path in (own, *others)]
    accuracy = accuracies(reader, held, every, advance)
    return [
        {
            "path": path_text(path),
            "layers": len(path),
            "votes": number,
            "accuracy": accuracy[path],
            "accuracy_random": float(np.mean([accuracy[one] for one in others])),
        }
        for (path, number), others in zip(votes, drawn, strict=True)
    ]


def _item_rows(place: int, search: Search) -> list[dict[str, Any]]:
    """Return the rows of one searched item."""
    shortest = shortest_right(search)
    values = {"full_right": float(search[0].right), "best_right": float(shortest is not None)}
    values |= {} if shortest is None else {"shortest_right": float(len(shortest))}
    values["simulations"] = float(sum(one.visits for one in search))
    return [{"place": place, "metric": metric, "value": value} for metric, value in values.items()]
