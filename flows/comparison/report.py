"""The report of a comparison: a line per arm, a sentence per verdict, and the files that keep them.

Reads the evaluations of all cells and calls pure statistics; nothing is trained or asked here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.comparison.grid import BASELINE, Cell, arms
from curate.flows.demo.faults import faults, is_demo_corpus, noise_kept
from curate.flows.operations.evaluation_report import check_parallel, interval
from curate.flows.stages.evaluating.results import arrays, grouped
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

    Made = Mapping[Cell, tuple[str, str]]

FOLDER = "comparisons"


@dataclass(frozen=True)
class Yardstick:
    """The original's scores on everything that has one: what all arms are measured against."""

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
    """Which groups the original knows enough of."""


def yardstick(warehouse: Warehouse, evaluation: str, metric: str, kinds: Collection[str] = KINDS) -> Yardstick:
    """Return what the original model knows.

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
        If it knows nothing of what was asked, so that there is nothing to retain.
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
    return Yardstick(
        evaluation, metric, use, scores[use], chance, places, tuple(names[g]["group"] for g in kept), counts
    )


def report(
    warehouse: Warehouse, settings: Settings, made: Made, known: Yardstick, compressed: str, n_excluded: int
) -> dict[str, Any]:
    """Return everything that a comparison tells, as JSON-able values.

    Parameters
    ----------
    made : mapping of Cell to (selection id, evaluation id)
    known : Yardstick
    compressed : str
        Evaluation of the compressed model.
    n_excluded : int
        Rows of the pool that were left out since the evaluation asks them.
    """
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.seeds import trial
    from curate.selectors.assessment.verdict import judge_arms

    primary = (settings.compare.methods[0], settings.compare.budgets[0])
    given, n = _arms(warehouse, settings, made, known), len(known.names)
    found = judge_arms(given, BASELINE, primary, known.scores, known.group, n, known.chance, Resampling())
    damaged = _scores(warehouse, compressed, known)
    by_arm = {(arm.method, arm.budget): _groups(arm.scores, damaged, known) for arm in given}
    return {
        "metric": known.metric,
        "primary": f"{primary[0]} against {BASELINE} at {primary[1]}",
        "seeds": settings.compare.seeds,
        "compressed": interval(trial(damaged[None], known.scores, known.group, n, known.counts, Resampling())),
        "capabilities": [name for name, counts in zip(known.names, known.counts, strict=True) if counts],
        "left_out": [name for name, counts in zip(known.names, known.counts, strict=True) if not counts],
        "n_items": len(known.scores),
        "n_excluded": n_excluded,
        "lines": [
            {**_line(one), **by_arm[one.method, one.budget], **_cost(warehouse, made, one.method, one.budget)}
            for one in found
        ],
        "retention_compressed": _groups(damaged[None], damaged, known)["retention"],
        "cells": {cell.name: {"selection": s, "evaluation": e} for cell, (s, e) in made.items()},
    }


def _line(one: ArmVerdict) -> dict[str, Any]:
    from curate.selectors.assessment.verdict import sentence

    plain = {name: getattr(one, name) for name in ("method", "budget", "seeds", "p_holm", "primary", "word")}
    figures = {name: interval(getattr(one, name)) for name in ("mean", "worst", "gain", "worst_gain")}
    return {**plain, **figures, "sentence": sentence(one, BASELINE)}


def _groups(scores: NDArray[np.float64], damaged: NDArray[np.float64], known: Yardstick) -> dict[str, Any]:
    """Return the retention of every capability that counts, and those that training harmed."""
    from curate.selectors.assessment.intervals import Resampling, group_means
    from curate.selectors.assessment.retention import ratios
    from curate.selectors.assessment.seeds import harmed

    n = len(known.names)
    means = group_means(np.stack([scores.mean(axis=0), known.scores]), known.group, n)
    retention = ratios(means)
    below = harmed(scores, damaged, known.group, n, Resampling())
    return {
        "retention": {known.names[g]: float(retention[g]) for g in range(n) if known.counts[g]},
        "harmed": [known.names[g] for g in range(n) if below[g] and known.counts[g]],
    }


def _arms(warehouse: Warehouse, settings: Settings, made: Made, known: Yardstick) -> list[Arm]:
    from curate.selectors.assessment.verdict import Arm

    found = []
    for budget in settings.compare.budgets:
        for arm in arms(settings):
            own = sorted((c for c in made if (c.arm, c.budget) == (arm, budget)), key=lambda cell: cell.seed)
            if own:
                found.append(Arm(arm, budget, np.stack([_scores(warehouse, made[cell][1], known) for cell in own])))
    return found


def _scores(warehouse: Warehouse, evaluation: str, known: Yardstick) -> NDArray[np.float64]:
    """Return a model's scores on the items of the yardstick."""
    table = warehouse.read("evaluation", evaluation)
    reference = warehouse.read("evaluation", known.evaluation, columns=["item_id"])
    check_parallel({"model": table, "original": reference}, {"model": evaluation, "original": known.evaluation})
    scores: NDArray[np.float64] = getattr(arrays(table), known.metric)[known.use]
    return scores


def _cost(warehouse: Warehouse, made: Made, arm: str, budget: str) -> dict[str, Any]:
    """Return what an arm kept and what it cost, means over its seeds; the noise that it kept, on the demo."""
    mine = [ids for cell, ids in made.items() if (cell.arm, cell.budget) == (arm, budget)]
    trainings = [warehouse.manifest("evaluation", evaluation).facts["training"] for _, evaluation in mine]
    selections = [warehouse.manifest("selection", selection) for selection, _ in mine]
    told: dict[str, Any] = {
        "rows": float(np.mean([one.facts["n_kept"] for one in selections])),
        "tokens_trained": float(np.mean([one["tokens"] for one in trainings])),
        "seconds_training": float(np.mean([one["seconds_training"] for one in trainings])),
        "noise": None,
    }
    corpus = selections[0].inputs["corpus"]
    if is_demo_corpus(warehouse, corpus):
        planted = faults(warehouse, corpus)
        told["noise"] = float(np.mean([noise_kept(warehouse, selection, planted) for selection, _ in mine]))
    return told


def write(warehouse: Warehouse, told: dict[str, Any]) -> list[Path]:
    """Write the report as JSON and, where matplotlib is installed, as a picture; return the files."""
    folder = warehouse.root / FOLDER
    atomic.make_folder(folder)
    name = digest([told["cells"], told["metric"], told["primary"]])
    files = [folder / f"{name}.json"]
    atomic.write_bytes(files[0], json.dumps(told, indent=2, ensure_ascii=False).encode())
    if find_spec("matplotlib") is not None:
        from curate.storage.report.retention_picture import draw

        files.append(folder / f"{name}.png")
        draw(told, files[1])
    return files
