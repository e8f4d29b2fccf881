"""Retention report: the evaluations of a model, its original and its compressed version side by side.

Reads evaluation artefacts and computes statistics; no model is run. Costs milliseconds, so the report is not stored.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.operations.divergence_report import divergence_rows
from curate.flows.stages.evaluating.results import arrays, grouped, interval
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import CLOSED_BOOK

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.selectors.assessment.retention import Retention
    from curate.selectors.assessment.task_summary import Results
    from curate.storage.warehouse.warehouse import Warehouse


def report(warehouse: Warehouse, metric: str, ids: dict[str, str]) -> dict[str, Any]:
    """Return the report of `curate evaluate` as JSON-compatible values; undefined values are None.

    Parameters
    ----------
    metric : {"score", "token_accuracy"}
        Metric of which retention is the ratio.
    ids : dict of str to str
        Role to evaluation id: ``model``, and ``original`` and ``compressed`` if they were evaluated.

    Raises
    ------
    UsageError
        If two evaluations are not of the same items.
    """
    tables = {role: warehouse.read("evaluation", evaluation_id) for role, evaluation_id in ids.items()}
    check_parallel(tables, ids)
    names, group = grouped(tables["model"])
    manifest = warehouse.manifest("evaluation", ids["model"])
    values: dict[str, Any] = {
        "evaluation_id": ids["model"],
        "model": manifest.facts["model"],
        "evaluations": ids,
        "metric": metric,
        "n_items": manifest.facts["n_items"],
        "n_contaminated": manifest.facts["n_contaminated"],
        "summary": warehouse.read("evaluation", ids["model"], "summary").to_pylist(),
        "warnings": list(manifest.facts["warnings"]),
    }
    results = {role: arrays(table) for role, table in tables.items()}
    if "original" in results:
        values["retention"] = _retention(results, metric, names, group)
    values["divergence"] = divergence_rows(results, names, group)
    values["perplexity"] = _perplexity(results, tables["model"])
    values["window"] = manifest.facts.get("window")
    values["warnings"] += _disagreements(results, tables["model"])
    return values


def check_parallel(tables: dict[str, pa.Table], ids: dict[str, str]) -> None:
    """Raise UsageError unless all evaluations list the same items in the same order."""
    first = tables["model"]["item_id"]
    for role, table in tables.items():
        if not table["item_id"].equals(first):
            raise UsageError(
                f"evaluations {ids['model']} and {ids[role]} ({role}) are not of the same items; evaluate both models "
                "with the same --tasks, and plain texts only on models with one tokenizer and context"
            )


def _retention(
    results: dict[str, Results], metric: str, names: list[dict[str, str]], group: NDArray[np.int64]
) -> dict[str, Any]:
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.retention import assess_retention

    values = {role: getattr(one, metric) for role, one in results.items()}
    use = np.all([np.isfinite(one) for one in values.values()], axis=0)
    kept = np.unique(group[use])
    if not len(kept):
        return {"groups": [], "mean": None, "worst": None, "mean_compressed": None}
    # Groups without a usable item drop out, so the rest are renumbered from 0.
    renumbered = np.searchsorted(kept, group[use])
    compressed = values.get("compressed")
    # The chance of guessing a token is negligible; that of guessing an answer may not be.
    chance = results["model"].chance[use] if metric == "score" else np.zeros(int(use.sum()))
    retention = assess_retention(
        values["model"][use],
        values["original"][use],
        None if compressed is None else compressed[use],
        renumbered,
        len(kept),
        chance,
        Resampling(),
    )
    return _retention_values(retention, [names[g] for g in kept])


def _retention_values(retention: Retention, names: list[dict[str, str]]) -> dict[str, Any]:
    groups = []
    for named, one in zip(names, retention.groups, strict=True):
        row = {name: getattr(one, name) for name in ("items", "original", "compressed", "score", "damage", "left_out")}
        row |= {"counted": not one.left_out, "retention": interval(one.retention), "gain": interval(one.gain)}
        row["harmed"] = one.harmed
        groups.append({**named, **{key: finite_or_none(value) for key, value in row.items()}})
    overall = {"mean": interval(retention.mean), "worst": interval(retention.worst)}
    return {"groups": groups, **overall, "mean_compressed": finite_or_none(retention.mean_compressed)}


def finite_or_none(value: Any) -> Any:
    """Return `value`, or None if it is a non-finite float, which JSON cannot represent."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _perplexity(results: dict[str, Results], table: pa.Table) -> list[dict[str, Any]]:
    """Return the perplexity of every role on every task that has likelihoods, and the change to each reference."""
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.task_summary import nll_change, token_mean

    tasks = np.asarray(table["task"].to_pylist(), dtype=np.str_)
    rows = []
    for task in dict.fromkeys(tasks.tolist()):
        items = tasks == task
        means = {role: token_mean(one.nll[items], one.n_tokens[items]) for role, one in results.items()}
        if means["model"] is None:
            continue
        row: dict[str, Any] = {"task": task}
        row |= {f"perplexity_{role}": None if mean is None else math.exp(mean) for role, mean in means.items()}
        for role in ("original", "compressed"):
            if role in results:
                row[f"nll_change_{role}"] = interval(nll_change(results["model"], results[role], items, Resampling()))
        rows.append(row)
    return rows


def _disagreements(results: dict[str, Results], table: pa.Table) -> list[str]:
    """Return a sentence for each reference against which perplexity and closed-book knowledge disagree."""
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.task_summary import disagreement, nll_change, score_change

    kinds = np.asarray(table["kind"].to_pylist(), dtype=np.str_)
    closed_book = np.isin(kinds, CLOSED_BOOK)
    # Perplexity is usually measured on texts; without any, held-out rows are used instead.
    likelihood = kinds == ("perplexity" if (kinds == "perplexity").any() else "rows")
    warnings = []
    for role in ("compressed", "original"):
        if role not in results:
            continue
        nll = nll_change(results["model"], results[role], likelihood, Resampling())
        sentence = disagreement(nll, score_change(results["model"], results[role], closed_book, Resampling()))
        if sentence:
            warnings.append(f"against the {role} model, {sentence}")
    return warnings
