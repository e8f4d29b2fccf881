"""The report's section about targets: what a model answered to the selected rows, and the rows it could not confirm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.storage.report.samples import BRIEF, shortened, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from curate.storage.report.contents import Contents
    from curate.storage.warehouse.warehouse import Warehouse

SUSPECTS = 12
"""Rows listed."""


def targets(warehouse: Warehouse, contents: Contents) -> dict[str, Any] | None:
    """Return the figures of the newest targets of a selection and its suspects; None without targets."""
    newest = next(
        (one for one in warehouse.list_readable("targets") if one.inputs["selection"] == contents.selection.id), None
    )
    if newest is None:
        return None
    columns = ["example_id", "number", "text", "passed", "accepted", "n_tokens", "mean_logp", "stopped_early"]
    samples = warehouse.read("targets", newest.id, columns=columns).to_pylist()
    figures = {name: newest.facts[name] for name in ("asked", "solved", "mean_samples")}
    figures |= {"pruned": newest.facts.get("pruned", 0), "prune_at": newest.settings.get("prune_at")}
    first = sum(one["accepted"] for one in samples if one["number"] == 1)
    suspects = _with_texts(warehouse, contents, unconfirmed(samples))
    accept = newest.settings["accept"]
    return {"id": newest.id, "accept": accept, **figures, "solved_greedy": first, "suspects": suspects}


def unconfirmed(samples: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the likeliest answer to every row that had a check and no right sample, the model's surest first.

    A model that is sure of another answer is the strongest sign that the corpus's is wrong. Samples that were pruned
    count for nothing: they have not been compared.
    """
    right: dict[str, bool] = {}
    likeliest: dict[str, dict[str, Any]] = {}
    for one in samples:
        if one["passed"] is None:
            continue
        right[one["example_id"]] = right.get(one["example_id"], False) or one["passed"]
        if one["number"] == 1 and not one["stopped_early"]:
            likeliest[one["example_id"]] = one
    wrong = [one for name, one in likeliest.items() if not right[name]]
    return sorted(wrong, key=lambda one: (-one["n_tokens"] * one["mean_logp"], one["example_id"]))


def _with_texts(warehouse: Warehouse, contents: Contents, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first answers with the question and the corpus's answer; forgotten rows are left out."""
    place = {str(name): int(row) for row, name in enumerate(contents.example_id) if not contents.forgotten[row]}
    shown = [one for one in answers if one["example_id"] in place][:SUSPECTS]
    rows = texts(warehouse, contents, [place[one["example_id"]] for one in shown], ["messages"])
    return [
        {
            "id": one["example_id"],
            "question": shortened(messages[-2]["content"], BRIEF),
            "given": shortened(messages[-1]["content"], BRIEF),
            "answer": shortened(one["text"], BRIEF),
            "probability": float(np.exp(one["n_tokens"] * one["mean_logp"])),
        }
        for one in shown
        for messages in [rows[place[one["example_id"]]]["messages"]]
    ]
