"""The main table of an evaluation as arrays, its groups, and the summary that goes beside it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.selectors.assessment.task_summary import Results


def summary_rows(results: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of ``SUMMARY``: one per task and group, in the order in which they were first asked."""
    from curate.selectors.assessment.intervals import Resampling
    from curate.selectors.assessment.task_summary import summarise

    names, group = grouped(results)
    return summarise(arrays(results), group, names, Resampling())


def grouped(results: pa.Table) -> tuple[list[dict[str, str]], NDArray[np.int64]]:
    """Return the names of the groups of items, and the group of each item."""
    rows = results.select(["task", "kind", "group"]).to_pylist()
    places: dict[tuple[str, str], int] = {}
    group = np.array([places.setdefault((row["task"], row["group"]), len(places)) for row in rows], dtype=np.int64)
    first = {int(g): rows[i] for i, g in reversed(list(enumerate(group)))}
    return [first[g] for g in range(len(places))], group


def arrays(results: pa.Table) -> Results:
    """Return the figures of an evaluation's main table as parallel arrays."""
    from curate.selectors.assessment.task_summary import Results

    def floats(name: str) -> NDArray[np.float64]:
        return np.asarray(results[name].to_numpy(zero_copy_only=False), dtype=np.float64)

    tokens = np.asarray(results["n_tokens"].to_numpy(zero_copy_only=False), dtype=np.int64)
    return Results(floats("score"), floats("nll"), floats("token_accuracy"), tokens, floats("chance"))


def warnings(results: pa.Table, removed: int) -> list[str]:
    """Return what a user should know before reading the figures."""
    statuses = Counter(results["status"].to_pylist())
    told = []
    if removed:
        told.append(f"{removed} items were left out, for the corpus has the same prompt")
    if cut := statuses["truncated"]:
        told.append(f"{cut} of {len(results)} items were longer than --max-length and were judged on what was left")
    if bad := statuses["no_response_tokens"] + statuses["template_error"]:
        told.append(f"{bad} of {len(results)} items could not be asked and do not count")
    if "judged" in results["kind"].unique().to_pylist():
        told.append(
            "scores of judged tasks are a model's opinion; first try the judge on answers known right and wrong"
        )
    return told
