"""Figures of a targets artefact: what each row has, what was drawn, and what a user should know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from curate.schemas.sections import SampleSettings

NOT_USED = ("temperature", "top_k", "top_p", "min_p")
"""Generation settings of a model that samples are drawn without; the manifest records them."""


def summary_rows(example_ids: Sequence[str], drawn: pa.Table) -> list[dict[str, Any]]:
    """Return a row of `TARGETS_SUMMARY` for every id, in order."""
    n_drawn = dict.fromkeys(example_ids, 0)
    accepted: dict[str, int] = {}
    for row in drawn.select(["example_id", "number", "accepted"]).to_pylist():
        n_drawn[row["example_id"]] += 1
        if row["accepted"]:
            accepted[row["example_id"]] = row["number"]
    return [
        {"example_id": one, "n_drawn": count, "solved": one in accepted, "accepted_number": accepted.get(one)}
        for one, count in n_drawn.items()
    ]


def counts(drawn: pa.Table, summary: Sequence[dict[str, Any]], given: SampleSettings) -> dict[str, Any]:
    """Return the figures of the manifest.

    ``tokens_always`` estimates what ``best_of`` samples of every row would have cost: the mean length of the row's
    samples that were not pruned, that often.
    """
    answered = [row for row in summary if row["n_drawn"]]
    whole: dict[str, list[int]] = {row["example_id"]: [] for row in answered}
    cut, pruned, contaminated = 0, 0, len(drawn) - drawn["contaminated_by"].null_count
    for row in drawn.select(["example_id", "number", "n_tokens", "stopped_early"]).to_pylist():
        # The context may end where samples are compared, too; the first two are compared with none.
        if row["stopped_early"] and row["n_tokens"] == given.prune_at and row["number"] > 2:
            pruned += 1
        else:
            whole[row["example_id"]].append(row["n_tokens"])
            cut += row["stopped_early"]
    return {
        "rows": len(summary),
        "asked": len(answered),
        "solved": sum(row["solved"] for row in answered),
        "samples": len(drawn),
        "mean_samples": len(drawn) / len(answered) if answered else None,
        "tokens": sum(drawn["n_tokens"].to_pylist()),
        "tokens_always": round(sum(given.best_of * sum(own) / len(own) for own in whole.values())),
        "stopped_early": cut + pruned,
        "pruned": pruned,
        "contaminated": contaminated,
        "warnings": _warnings(len(summary), len(answered), len(drawn) - pruned, cut, contaminated),
    }


def _warnings(rows: int, answered: int, samples: int, cut: int, contaminated: int) -> list[str]:
    messages = []
    if contaminated:
        messages.append(
            f"{contaminated:,} answers that would have been accepted contain questions of an evaluation; their rows "
            "have no target"
        )
    if answered < rows:
        messages.append(
            f"{rows - answered:,} of {rows:,} rows were not asked: their last turn is no answer, or the prompt is "
            "longer than --max-length"
        )
    if 2 * cut > samples:
        messages.append(
            f"{cut:,} of {samples:,} samples were cut off before they ended; raise --max-new-tokens, or use a model "
            "that ends its answers"
        )
    return messages


def unused(model: str) -> dict[str, Any]:
    """Return the model's own settings of random sampling, which are not used."""
    import json

    from curate.engines.models.checkpoints import generation_settings

    path = generation_settings(model)
    own = {} if path is None else json.loads(path.read_text("utf-8"))
    return {name: own[name] for name in NOT_USED if own.get(name) is not None}
