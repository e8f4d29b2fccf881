"""The report of a comparison: a line per arm, a sentence per conclusion, and the files that hold them.

Reads the evaluations of all cells and calls pure statistics; trains and evaluates nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.comparison.grid import BASELINE, Cell, arms
from curate.flows.comparison.recipes import recipes, training_words, with_recipe
from curate.flows.demo.faults import faults, is_demo_corpus, noise_kept
from curate.flows.operations.evaluation_report import check_parallel
from curate.flows.stages.evaluating.results import arrays, grouped, interval
from curate.flows.stages.recovering.request import request_of
from curate.schemas.artefacts import digest
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import KINDS
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.schemas.settings import Settings
    from curate.selectors.assessment.verdict import Arm, ArmVerdict
    from curate.storage.warehouse.warehouse import Warehouse

    CellIds = Mapping[Cell, tuple[str, str]]

FOLDER = "comparisons"


@dataclass(frozen=True)
class OriginalScores:
    """The original model's scores, which all arms are measured against."""

    evaluation: str
    metric: str
    use: NDArray[np.bool_]
    """Items of the evaluation that have the metric, shape (n_items,)."""
    scores: NDArray[np.float64]
    """Shape (n,), of those items."""
    chance: NDArray[np.float64]
    group: NDArray[np.int64]
    """Place in `names`."""
    names: tuple[str, ...]
    counts: NDArray[np.bool_]
    """Groups on which the original is far enough above chance."""


def original_scores(
    warehouse: Warehouse, evaluation: str, metric: str, kinds: Collection[str] = KINDS
) -> OriginalScores:
    """Return the original model's scores on the items that have the metric.

    Parameters
    ----------
    evaluation : str
        Of the original model.
    metric : {"score", "token_accuracy"}
    kinds : collection of str
        Kinds of items that count; all of them by default.

    Raises
    ------
    UsageError
        If the original is nowhere far enough above chance, so that there is nothing to retain.
    """
    from curate.selectors.assessment.retention import counted

    table = warehouse.read("evaluation", evaluation)
    results = arrays(table)
    scores: NDArray[np.float64] = getattr(results, metric)
    use = np.isfinite(scores) & np.isin(table["kind"].to_pylist(), list(kinds))
    names, group = grouped(table)
    kept = np.unique(group[use])
    places = np.searchsorted(kept, group[use])
    chance = results.chance[use] if metric == "score" else np.zeros(int(use.sum()))
    counts = counted(scores[use], chance, places, len(kept))
    if not counts.any():
        raise UsageError(
            "the original model is nowhere five points above chance in what it was asked "
            f"({metric.replace('_', ' ')}); ask something that it knows, or pass --metric token_accuracy"
        )
    return OriginalScores(
        evaluation, metric, use, scores[use], chance, places, tuple(names[g]["group"] for g in kept), counts
    )


def report(
    warehouse: Warehouse,
    settings: Settings,
    cell_ids: CellIds,
    original: OriginalScores,
    compressed: str,
    n_excluded: int,
) -> dict[str, Any]:
    """Return the whole report of a comparison, as JSON-able values.

    Parameters
    ----------
    cell_ids : mapping of Cell to (selection id, evaluation id)
    original : OriginalScores
    compressed : str
        Evaluation of the compressed model.
    n_excluded : int
        Rows of the pool that were left out because they are evaluation items.
    """
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.seeds import retention_over_seeds
    from curate.selectors.assessment.verdict import compare_arms

    primary, losses = (settings.compare.methods[0], settings.compare.budgets[0]), recipes(settings)
    given, n = _arms(warehouse, settings, cell_ids, original), len(original.names)
    verdicts = compare_arms(given, BASELINE, primary, original.scores, original.group, n, original.chance, Resampling())
    damaged = _scores(warehouse, compressed, original)
    by_arm = [_groups(arm.scores, damaged, original) for arm in given]
    average = retention_over_seeds(damaged[None], original.scores, original.group, n, original.counts, Resampling())
    return {
        "metric": original.metric,
        **_training(warehouse, settings, cell_ids),
        "primary": f"{primary[0]} against {BASELINE} at {primary[1]}" + (f" with {losses[0]}" if losses[0] else ""),
        "seeds": settings.compare.seeds,
        "compressed": interval(average),
        "capabilities": [name for name, counts in zip(original.names, original.counts, strict=True) if counts],
        "left_out": [name for name, counts in zip(original.names, original.counts, strict=True) if not counts],
        "n_items": len(original.scores),
        "n_excluded": n_excluded,
        "lines": [
            {**_line(one, losses[0]), **groups, **_cost(warehouse, cell_ids, one)}
            for one, groups in zip(verdicts, by_arm, strict=True)
        ],
        "retention_compressed": _groups(damaged[None], damaged, original)["retention"],
        "cells": {cell.name: {"selection": s, "evaluation": e} for cell, (s, e) in cell_ids.items()},
    }


def _training(warehouse: Warehouse, settings: Settings, cell_ids: CellIds) -> dict[str, Any]:
    """Return how the cells were trained, in words: for all of them, or for each recipe."""
    words = {}
    for recipe in recipes(settings):
        own = {cell: ids for cell, ids in cell_ids.items() if cell.recipe == recipe}
        request = request_of(settings.model_copy(update={"recover": with_recipe(settings.recover, recipe)}))
        words[recipe] = training_words(request, _methods_used(warehouse, own))
    if "" in words:
        return {"training": words[""]}
    return {"training": "; ".join(f"{name}: {how}" for name, how in words.items()), "recipes": words}


def _methods_used(warehouse: Warehouse, cell_ids: CellIds) -> set[str]:
    """Return the recovery methods of all cells."""
    return {warehouse.manifest("evaluation", one).facts["training"]["method"] for _, one in cell_ids.values()}


def _line(one: ArmVerdict, first: str) -> dict[str, Any]:
    from curate.selectors.assessment.verdict import recipe_sentence, sentence

    plain = {name: getattr(one, name) for name in ("method", "budget", "seeds", "p_holm", "primary", "word")}
    figures = {name: interval(getattr(one, name)) for name in ("mean", "worst", "gain", "worst_gain")}
    line = {**plain, **figures, "sentence": sentence(one, BASELINE)}
    if one.recipe:
        line["recipe"] = one.recipe
    if (effect := one.recipe_effect) is not None:
        against = {"against": first, "gain": interval(effect.gain), "p_holm": effect.p_holm, "word": effect.word}
        line["recipe_effect"] = {**against, "sentence": recipe_sentence(one, first)}
    return line


def _groups(scores: NDArray[np.float64], damaged: NDArray[np.float64], original: OriginalScores) -> dict[str, Any]:
    """Return the retention of every capability that counts, and the capabilities that training harmed."""
    from curate.selectors.assessment.intervals import Resampling, group_means
    from curate.selectors.assessment.retention import ratios
    from curate.selectors.assessment.seeds import harmed

    n = len(original.names)
    means = group_means(np.stack([scores.mean(axis=0), original.scores]), original.group, n)
    retention = ratios(means)
    below = harmed(scores, damaged, original.group, n, Resampling())
    return {
        "retention": {original.names[g]: float(retention[g]) for g in range(n) if original.counts[g]},
        "harmed": [original.names[g] for g in range(n) if below[g] and original.counts[g]],
    }


def _arms(warehouse: Warehouse, settings: Settings, cell_ids: CellIds, original: OriginalScores) -> list[Arm]:
    from curate.selectors.assessment.verdict import Arm

    result = []
    for budget in settings.compare.budgets:
        for arm, recipe in product(arms(settings), recipes(settings)):
            place = (arm, budget, recipe)
            own = sorted((c for c in cell_ids if (c.arm, c.budget, c.recipe) == place), key=lambda cell: cell.seed)
            if own:
                scores = np.stack([_scores(warehouse, cell_ids[cell][1], original) for cell in own])
                result.append(Arm(arm, budget, scores, recipe))
    return result


def _scores(warehouse: Warehouse, evaluation: str, original: OriginalScores) -> NDArray[np.float64]:
    """Return a model's scores on the items that the original has scores on."""
    table = warehouse.read("evaluation", evaluation)
    reference = warehouse.read("evaluation", original.evaluation, columns=["item_id"])
    check_parallel({"model": table, "original": reference}, {"model": evaluation, "original": original.evaluation})
    scores: NDArray[np.float64] = getattr(arrays(table), original.metric)[original.use]
    return scores


def _cost(warehouse: Warehouse, cell_ids: CellIds, arm: ArmVerdict) -> dict[str, Any]:
    """Return rows, tokens and seconds of an arm, means over its seeds; on the demo also the share of noise it kept."""
    place = (arm.method, arm.budget, arm.recipe)
    own = [ids for cell, ids in cell_ids.items() if (cell.arm, cell.budget, cell.recipe) == place]
    trainings = [warehouse.manifest("evaluation", evaluation).facts["training"] for _, evaluation in own]
    selections = [warehouse.manifest("selection", selection) for selection, _ in own]
    cost: dict[str, Any] = {
        "rows": float(np.mean([one.facts["n_kept"] for one in selections])),
        "tokens_trained": float(np.mean([one["tokens"] for one in trainings])),
        "seconds_training": float(np.mean([one["seconds_training"] for one in trainings])),
        "noise": None,
    }
    corpus = selections[0].inputs["corpus"]
    if is_demo_corpus(warehouse, corpus):
        planted = faults(warehouse, corpus)
        cost["noise"] = float(np.mean([noise_kept(warehouse, selection, planted) for selection, _ in own]))
    return cost


def write(warehouse: Warehouse, content: dict[str, Any]) -> list[Path]:
    """Write the report as JSON and, where matplotlib is installed, as a picture; return the files."""
    folder = warehouse.root / FOLDER
    atomic.make_folder(folder)
    name = digest([content["cells"], content["metric"], content["primary"]])
    files = [folder / f"{name}.json"]
    atomic.write_bytes(files[0], json.dumps(content, indent=2, ensure_ascii=False).encode())
    if find_spec("matplotlib") is not None:
        from curate.storage.report.retention_picture import draw

        files.append(folder / f"{name}.png")
        draw(content, files[1])
    return files
