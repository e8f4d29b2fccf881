"""Runs the comparison on real data for one compressed model, and reads its reports and losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from real_rows import QuestionAnswer, chance_of

from curate.flows import pipeline, stages
from curate.flows.comparison.grid import BASELINE, Cell, cells
from curate.flows.comparison.report import original_scores, report
from curate.flows.comparison.run import compare, prepare_inputs, selecting, tokens_kept, training
from curate.flows.session import session
from curate.flows.stages.selecting.request import resolve_request
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import CLOSED_BOOK

if TYPE_CHECKING:
    from real_page import Summary

    from curate.schemas.settings import Settings

BUDGET = "0.1"


def try_uniform(settings: Settings) -> dict[str, float]:
    """Return the mean retention of `uniform` with seed 0 and of the compressed model, to choose training settings."""
    uniform = settings.model_copy(update={"compare": settings.compare.model_copy(update={"methods": (BASELINE,)})})
    with session("compare", uniform) as run:
        dense, compressed = (
            run.call(stages.evaluate, run.warehouse, uniform, model, None, {})
            for model in (uniform.original, uniform.compressed)
        )
        ground, cell = prepare_inputs(run, uniform), Cell(BASELINE, BUDGET, 0)
        selection = pipeline.run(run.warehouse, resolve_request(selecting(uniform, ground, cell)), run.call)
        request = training(uniform, ground, cell, tokens_kept(run.warehouse, selection, ground.scores))
        results = {cell: (selection, run.call(stages.trial, run.warehouse, uniform, selection, request))}
        reference = original_scores(run.warehouse, dense, "token_accuracy")
        result = report(run.warehouse, uniform, results, reference, compressed, 0)
    line = result["lines"][0]
    value, seconds = line["mean"]["value"], line["seconds_training"]
    return {"compressed": result["compressed"]["value"], "uniform": value, "seconds": seconds}


def compare_methods(
    settings: Settings, primary: bool
) -> tuple[dict[str, Any], dict[str, Any] | str, dict[str, Summary]]:
    """Run the missing cells; return the reports on token accuracy and on recall, and the loss by source.

    Unless `primary` is set, p-values of all arms are corrected for the number of arms.
    """
    accuracy = compare(settings)
    with session("compare", settings) as run:
        dense, compressed = (
            run.call(stages.evaluate, run.warehouse, settings, model, None, {})
            for model in (settings.original, settings.compressed)
        )
        results = {
            cell: (accuracy["cells"][cell.name]["selection"], accuracy["cells"][cell.name]["evaluation"])
            for cell in cells(settings)
        }
        no_primary = _without_primary(settings)
        if not primary:
            reference = original_scores(run.warehouse, dense, "token_accuracy")
            accuracy = report(run.warehouse, no_primary, results, reference, compressed, accuracy["n_excluded"])
        recall: dict[str, Any] | str
        try:
            recall_reference = original_scores(run.warehouse, dense, "score", CLOSED_BOOK)
            recall = report(run.warehouse, no_primary, results, recall_reference, compressed, accuracy["n_excluded"])
        except UsageError:
            recall = "Nothing counts: the dense model answers no source's questions better than chance by five points."
        losses = {"dense": _summary(run.warehouse, [dense]), "compressed": _summary(run.warehouse, [compressed])}
        for arm in dict.fromkeys(cell.arm for cell in results):
            evaluations = [evaluation for cell, (_, evaluation) in results.items() if cell.arm == arm]
            losses[f"`{arm}`"] = _summary(run.warehouse, evaluations)
    return accuracy, recall, losses


def _without_primary(settings: Settings) -> Settings:
    """Return settings without a primary comparison.

    The first method is the primary one; the baseline comes first here, and is not compared with itself.
    """
    methods = (BASELINE, *(method for method in settings.compare.methods if method != BASELINE))
    return settings.model_copy(update={"compare": settings.compare.model_copy(update={"methods": methods})})


def _summary(warehouse: Any, evaluations: list[str]) -> Summary:
    """Return the summary of every task, with the mean loss over evaluations."""
    tables = [warehouse.read("evaluation", one, "summary").to_pylist() for one in evaluations]
    summary = {}
    for lines in zip(*tables, strict=True):
        nll = None if lines[0]["nll"] is None else float(np.mean([line["nll"] for line in lines]))
        summary[lines[0]["task"]] = {**lines[0], "nll": nll}
    return summary


def chances(prepared: dict[str, Any]) -> dict[str, float]:
    """Return the share of the most frequent answer of every task."""
    shares = {}
    for task in prepared["tasks"]:
        kind, _, path = task.partition(":")
        with open(path, encoding="utf-8") as stream:
            values = [json.loads(line) for line in stream]
        rows = [QuestionAnswer("", "", one["answer"] if "answer" in one else one["output"]) for one in values]
        shares[f"{kind}:{Path(path).stem}"] = chance_of(rows)
    return shares
