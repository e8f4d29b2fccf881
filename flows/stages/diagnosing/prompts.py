"""Diagnosis of prompts: how a model's score on multiple-choice tasks moves over wordings, beside its original's."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.diagnosing.choice_items import choice_items, halves
from curate.flows.stages.diagnosing.readings import Readings
from curate.flows.stages.diagnosing.request import diagnosis_recipe
from curate.flows.stages.diagnosing.wordings import read_wordings
from curate.flows.stages.evaluating.tasks import tasks_digest
from curate.flows.stages.rendering import rendering_setting
from curate.schemas.diagnosis import DIAGNOSES
from curate.selectors.assessment.intervals import Resampling
from curate.selectors.assessment.robustness import damage, spread
from curate.selectors.search.prompts import full_search_calls, random_search, search_prompts

if TYPE_CHECKING:
    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.selectors.search.prompts import PromptSearch
    from curate.storage.warehouse.warehouse import Warehouse

    Item = dict[str, Any]

KIND = "prompts"
VERSION = 2
HELD_OUT = 0.5
"""Share of the items that scores are measured on, where wordings are chosen on the others."""


def recipe(warehouse: Warehouse, settings: Settings, model: str) -> Recipe:
    """Return the recipe of a diagnosis of prompts: the models' files, the tasks, the wordings and how they are read."""
    models = {"model": model} | ({} if settings.original is None else {"original": settings.original})
    tasks = {"tasks": tasks_digest(warehouse, settings)}
    shared = diagnosis_recipe(warehouse, settings, KIND, tasks, models, ("keep", "length"))
    how = {name: getattr(settings.evaluate, name) for name in ("limit", "normalise")}
    how |= {"wordings": list(read_wordings(settings.diagnose.prompts))}
    how |= rendering_setting(settings.score.template, *models.values())
    layout = {"batch_tokens": settings.score.batch_tokens}
    return replace(shared, version=VERSION, settings={**shared.settings, **how}, layout={**shared.layout, **layout})


def diagnose(warehouse: Warehouse, settings: Settings, model: str) -> str:
    """Read the tasks under every wording with one or two models, and return the diagnosis id.

    Raises
    ------
    InputError
        If a model, a task or the wordings cannot be used.
    """
    plan = recipe(warehouse, settings, model)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        wordings = read_wordings(settings.diagnose.prompts)
        rows, figures = _measure(settings, choice_items(warehouse, settings), wordings, model)
        table = pa.Table.from_pylist([{"kind": KIND, **row} for row in rows], DIAGNOSES)
        builder.write("part", 0, table, DIAGNOSES)
        facts = {"model": model, "original": settings.original, "tasks": list(settings.evaluate.tasks)}
        metrics = list(dict.fromkeys(row["metric"] for row in rows))
        builder.finish({**facts, "wordings": list(wordings), **figures, "metrics": metrics})
    return plan.id


def _measure(
    settings: Settings, items: list[Item], wordings: tuple[str, ...], model: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of the table, and spread, damage and what a search found."""
    options = settings.diagnose
    chooses = options.keep < 1 or options.length > 1
    searched, held = halves(items, HELD_OUT, settings.seed) if chooses else (items, items)
    with progress.stage("diagnose") as advance:
        readings = Readings(settings, model, wordings, advance)
        search = search_prompts(len(wordings), partial(readings.reward, searched), options.keep, options.length)
        kept = sorted(search.kept)
        scores = {"score": np.stack([readings.scores(held, (place,)) for place in kept])}
        result = {"search": _search_result(readings, search, (searched, held), settings)} if chooses else {}
        if settings.original is not None:
            readings = Readings(settings, settings.original, wordings, advance)
            scores["score_original"] = np.stack([readings.scores(held, (place,)) for place in kept])
    rows = [{"place": place, "metric": "influence", "value": value} for place, value in enumerate(search.influence)]
    for metric, values in scores.items():
        rows += [{"place": p, "metric": metric, "value": float(v.mean())} for p, v in zip(kept, values, strict=True)]
    return rows, {"items": len(held), **_figures(scores, settings.seed), **result}


def _search_result(
    readings: Readings, search: PromptSearch, parts: tuple[list[Item], list[Item]], settings: Settings
) -> dict[str, Any]:
    """Return what the search found, its score on items that it did not see, and how many passes it took.

    Beside it are the first wording, and the best of as many random sequences.
    """
    searched, held = parts
    n_wordings, length = len(search.influence), settings.diagnose.length
    drawn = random_search(n_wordings, partial(readings.reward, searched), search.calls, length, settings.seed)
    scores = {"score": search.best, "score_first": (0,), "score_random": drawn}
    measured = {name: float(readings.scores(held, chosen).mean()) for name, chosen in scores.items()}
    calls = {"calls": search.calls, "full_search": full_search_calls(n_wordings, length)}
    return {"best": list(search.best), "random": list(drawn), **measured, **calls, "items": len(searched)}


def _figures(scores: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the spreads over wordings, and the damage where there is an original."""
    figures: dict[str, Any] = {"spread": spread(scores["score"])}
    if "score_original" in scores:
        lost = damage(scores["score"], scores["score_original"], Resampling(seed=seed))
        interval = {name: value for name, value in asdict(lost.interval).items() if name in ("value", "low", "high")}
        figures |= {"spread_original": spread(scores["score_original"]), "damage": interval, "above": lost.above}
    return figures
