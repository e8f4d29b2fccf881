"""Results of an evaluation: conversion to arrays, groups, the summary table and warnings."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.selectors.assessment.intervals import Interval
    from curate.selectors.assessment.task_summary import Results


def summary_rows(results: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of ``SUMMARY``: one per task and group, in order of their first item."""
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.task_summary import summarise

    names, group = grouped(results)
    return summarise(arrays(results), group, names, Resampling())


def grouped(results: pa.Table) -> tuple[list[dict[str, str]], NDArray[np.int64]]:
    """Return the names of the groups of items, and the group of each item."""
    rows = results.select(["task", "kind", "group"]).to_pylist()
    numbers: dict[tuple[str, str], int] = {}
    group = np.array([numbers.setdefault((row["task"], row["group"]), len(numbers)) for row in rows], dtype=np.int64)
    # Reversed, so that the first item of a group overwrites the later ones.
    first = {int(g): rows[i] for i, g in reversed(list(enumerate(group)))}
    return [first[g] for g in range(len(numbers))], group


def arrays(results: pa.Table) -> Results:
    """Return the numeric columns of an evaluation's main table as parallel arrays."""
    from curate.selectors.assessment.task_summary import Results

    def floats(name: str) -> NDArray[np.float64]:
        return np.asarray(results[name].to_numpy(zero_copy_only=False), dtype=np.float64)

    tokens = np.asarray(results["n_tokens"].to_numpy(zero_copy_only=False), dtype=np.int64)
    # Evaluations of early versions have no such column.
    divergence = floats("divergence") if "divergence" in results.column_names else np.full(len(tokens), np.nan)
    return Results(floats("score"), floats("nll"), floats("token_accuracy"), tokens, floats("chance"), divergence)


def interval(bounds: Interval) -> dict[str, float] | None:
    """Return an interval as a dict of value and bounds, or None if the value is undefined."""
    if not math.isfinite(bounds.value):
        return None
    return {"value": bounds.value, "low": bounds.low, "high": bounds.high}


def warnings(results: pa.Table, removed: int) -> list[str]:
    """Return warnings about removed, truncated and unusable items, and about judged scores."""
    statuses = Counter(results["status"].to_pylist())
    messages = []
    if removed:
        messages.append(f"{removed} items were left out because the corpus contains the same prompt")
    if truncated := statuses["truncated"]:
        messages.append(f"{truncated} of {len(results)} items were truncated to --max-length before they were scored")
    if unusable := statuses["no_response_tokens"] + statuses["template_error"]:
        messages.append(f"{unusable} of {len(results)} items could not be evaluated and are not counted")
    if "judged" in results["kind"].unique().to_pylist():
        messages.append(
            "scores of judged tasks are a model's opinion; first test the judge on answers known to be right or wrong"
        )
    return messages
