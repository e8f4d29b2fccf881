"""What came back: the evaluations of a model, its original and its compressed version, side by side.

Reads artefacts and calls pure statistics; nothing is asked again. Costs milliseconds, so it is not kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.stages.evaluating.results import arrays, grouped
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import CLOSED_BOOK

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.selectors.assessment.intervals import Interval
    from curate.selectors.assessment.retention import Verdict
    from curate.selectors.assessment.task_summary import Results
    from curate.storage.warehouse.warehouse import Warehouse


def report(warehouse: Warehouse, metric: str, ids: dict[str, str]) -> dict[str, Any]:
    """Return everything that `curate evaluate` tells, as JSON-able values; unknown figures are None.

    Parameters
    ----------
    metric : {"score", "token_accuracy"}
        What retention is a ratio of.
    ids : dict of str to str
        ``model`` to its evaluation's id; ``original`` and ``compressed`` where they were evaluated.

    Raises
    ------
    UsageError
        If two evaluations are not of the same items.
    """
    tables = {role: warehouse.read("evaluation", made) for role, made in ids.items()}
    check_parallel(tables, ids)
    names, group = grouped(tables["model"])
    manifest = warehouse.manifest("evaluation", ids["model"])
    told: dict[str, Any] = {
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
        told["retention"] = _retention(results, metric, names, group)
    told["perplexity"] = _perplexity(results, tables["model"])
    told["warnings"] += _disagreements(results, tables["model"])
    return told


def check_parallel(tables: dict[str, pa.Table], ids: dict[str, str]) -> None:
    """Raise UsageError unless all evaluations list the same items in the same order."""
    first = tables["model"]["item_id"]
    for role, table in tables.items():
        if not table["item_id"].equals(first):
            raise UsageError(
                f"evaluations {ids['model']} and {ids[role]} ({role}) are not of the same items; "
                "evaluate both models with the same --tasks"
            )


def _retention(
    results: dict[str, Results], metric: str, names: list[dict[str, str]], group: NDArray[np.int64]
) -> dict[str, Any]:
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.retention import judge

    values = {role: getattr(one, metric) for role, one in results.items()}
    use = np.all([np.isfinite(one) for one in values.values()], axis=0)
    kept = np.unique(group[use])
    if not len(kept):
        return {"groups": [], "mean": None, "worst": None, "mean_compressed": None}
    places = np.searchsorted(kept, group[use])
    compressed = values.get("compressed")
    # Guessing a token right has no chance worth naming; guessing an answer may have.
    chance = results["model"].chance[use] if metric == "score" else np.zeros(int(use.sum()))
    found = judge(
        values["model"][use],
        values["original"][use],
        None if compressed is None else compressed[use],
        places,
        len(kept),
        chance,
        Resampling(),
    )
    return _told(found, [names[g] for g in kept])


def _told(found: Verdict, names: list[dict[str, str]]) -> dict[str, Any]:
    groups = []
    for named, one in zip(names, found.groups, strict=True):
        row = {name: getattr(one, name) for name in ("items", "original", "compressed", "score", "counted", "damage")}
        row |= {"retention": interval(one.retention), "gain": interval(one.gain), "harmed": one.harmed}
        groups.append({**named, **{key: known(value) for key, value in row.items()}})
    whole = {"mean": interval(found.mean), "worst": interval(found.worst)}
    return {"groups": groups, **whole, "mean_compressed": known(found.mean_compressed)}


def interval(found: Interval) -> dict[str, float] | None:
    """Return a figure with its bounds, None where it is not defined."""
    if not math.isfinite(found.value):
        return None
    return {"value": found.value, "low": found.low, "high": found.high}


def known(value: Any) -> Any:
    """Return a value, None for a number that is not one."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _perplexity(results: dict[str, Results], table: pa.Table) -> list[dict[str, Any]]:
    """Return the perplexity of every role on every task that has likelihoods, and the change to each reference."""
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.task_summary import nll_change, token_mean

    tasks = np.asarray(table["task"].to_pylist(), dtype=np.str_)
    rows = []
    for task in dict.fromkeys(tasks.tolist()):
        mine = tasks == task
        means = {role: token_mean(one.nll[mine], one.n_tokens[mine]) for role, one in results.items()}
        if means["model"] is None:
            continue
        row: dict[str, Any] = {"task": task}
        row |= {f"perplexity_{role}": None if mean is None else math.exp(mean) for role, mean in means.items()}
        for role in ("original", "compressed"):
            if role in results:
                row[f"nll_change_{role}"] = interval(nll_change(results["model"], results[role], mine, Resampling()))
        rows.append(row)
    return rows


def _disagreements(results: dict[str, Results], table: pa.Table) -> list[str]:
    """Return a sentence for each reference against which perplexity and closed-book knowledge disagree."""
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.task_summary import disagreement, nll_change, score_change

    kinds = np.asarray(table["kind"].to_pylist(), dtype=np.str_)
    knowing = np.isin(kinds, CLOSED_BOOK)
    # Texts are what perplexity is usually measured on; held-out rows stand in where there are none.
    reading = kinds == ("perplexity" if (kinds == "perplexity").any() else "rows")
    told = []
    for role in ("compressed", "original"):
        if role not in results:
            continue
        nll = nll_change(results["model"], results[role], reading, Resampling())
        sentence = disagreement(nll, score_change(results["model"], results[role], knowing, Resampling()))
        if sentence:
            told.append(f"against the {role} model, {sentence}")
    return told
