"""The part of the evaluation report on divergence from the original: a line per task, and per group of a task.

Reads evaluation artefacts and computes statistics; no model is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.stages.evaluating.results import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.selectors.assessment.divergence import GroupDivergence
    from curate.selectors.assessment.task_summary import Results

ALL = "all"
"""Name of the line over all groups of a task, where it has several."""


def divergence_rows(
    results: dict[str, Results], names: list[dict[str, str]], group: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Return the divergence of the model, and of the compressed model if it was evaluated, for every task and group.

    Parameters
    ----------
    results : dict of str to Results
        By role: ``model``, and maybe ``original`` and ``compressed``.
    names : list of dict
        ``task`` and ``group`` of every group of items.
    group : ndarray of shape (n,), int
        Place in `names` of each item.
    """
    both = [one.divergence for role, one in results.items() if role != "original"]
    use = np.all(np.isfinite(both), axis=0)
    rows = []
    for task in dict.fromkeys(named["task"] for named in names):
        own = [g for g, named in enumerate(names) if named["task"] == task]
        kept = use & np.isin(group, own)
        if not kept.any():
            continue
        present, places = np.unique(group[kept], return_inverse=True)
        if len(present) > 1:
            rows.append({"task": task, "group": ALL, **_assessed(results, kept, np.zeros_like(places))[0]})
        lines = _assessed(results, kept, places)
        rows += [{"task": task, "group": names[g]["group"], **line} for g, line in zip(present, lines, strict=True)]
    return rows


def _assessed(results: dict[str, Results], kept: NDArray[np.bool_], places: NDArray[np.int64]) -> list[dict[str, Any]]:
    from curate.selectors.assessment.divergence import assess_divergence
    from curate.selectors.assessment.intervals import Resampling

    compressed = results.get("compressed")
    before = None if compressed is None else compressed.divergence[kept]
    model, n = results["model"], int(places.max()) + 1
    return [
        _values(one)
        for one in assess_divergence(model.divergence[kept], before, model.n_tokens[kept], places, n, Resampling())
    ]


def _values(one: GroupDivergence) -> dict[str, Any]:
    figures = {"model": one.model, "compressed": one.compressed, "gap_closed": one.closed}
    bounded = {name: interval(bounds) for name, bounds in figures.items()}
    return {"items": one.items, "tokens": one.tokens, **bounded, "further": one.further}
