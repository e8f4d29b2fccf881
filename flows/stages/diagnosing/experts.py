"""Diagnosis of experts: how much rows of the corpus use each expert of one model, all together or by cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.diagnosing.request import diagnosis_recipe, drawn, engine_request
from curate.flows.stages.recovering.heldout import conversations
from curate.schemas.corpus import turns_of
from curate.schemas.diagnosis import DIAGNOSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.engines.diagnose.experts import ExpertMeasures
    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

KIND = "experts"
METRICS = ("usage", "gate_mass", "output_norm")


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str, clusters_id: str | None, model: str) -> Recipe:
    """Return the recipe of a diagnosis of experts; `clusters_id` is None to measure all rows together."""
    inputs = {"corpus": corpus_id} | ({} if clusters_id is None else {"clusters": clusters_id})
    return diagnosis_recipe(warehouse, settings, KIND, inputs, {"model": model}, ("rows", "by"))


def diagnose(warehouse: Warehouse, settings: Settings, corpus_id: str, clusters_id: str | None, model: str) -> str:
    """Measure the use of the experts of `model`, and return the diagnosis id.

    Raises
    ------
    GateError
        If the model is dense.
    InputError
        If the model or the corpus cannot be used.
    """
    plan = recipe(warehouse, settings, corpus_id, clusters_id, model)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        table = conversations(warehouse, corpus_id)
        places, clusters = _drawn(warehouse, settings, table.num_rows, clusters_id)
        measured = _measure(settings, model, table.column("messages").take(places).to_pylist(), clusters)
        records = [record for one in measured for record in _records(one)]
        builder.write("part", 0, pa.Table.from_pylist(records, DIAGNOSES), DIAGNOSES)
        builder.finish({"model": model, "original": None, **_facts(measured, len(places), clusters)})
    return plan.id


def _drawn(
    warehouse: Warehouse, settings: Settings, n_rows: int, clusters_id: str | None
) -> tuple[np.ndarray, list[int] | None]:
    """Return the places of the rows to measure on, in the corpus's order, and their clusters."""
    if clusters_id is None:
        return drawn(n_rows, settings), None
    labels = warehouse.read("clusters", clusters_id, columns=["cluster"])["cluster"].to_numpy()
    members = [np.flatnonzero(labels == cluster) for cluster in range(int(labels.max()) + 1)]
    places = np.sort(np.concatenate([one[drawn(len(one), settings)] for one in members]))
    return places, labels[places].tolist()


def _measure(
    settings: Settings, model: str, messages: list[list[dict[str, Any]]], clusters: list[int] | None
) -> list[ExpertMeasures]:
    from curate.engines.diagnose.experts import diagnose_experts
    from curate.engines.models.checkpoints import resolve_model

    rows = [list(turns_of(row)) for row in messages]
    with progress.stage("diagnose") as advance:
        return diagnose_experts(
            resolve_model(model),
            rows,
            engine_request(settings),
            groups=clusters,
            progress=lambda done, total: advance(1),
        )


def _records(measured: ExpertMeasures) -> Iterator[dict[str, Any]]:
    """Yield the rows of the long table: one for the router, then those of its experts."""
    about = {"kind": KIND, "place": measured.layer, "block": measured.name, "cluster": measured.group}
    yield {**about, "expert": None, "metric": "effective", "value": measured.effective}
    for metric in METRICS:
        for expert, value in enumerate(getattr(measured, metric)):
            if value is not None:
                yield {**about, "expert": expert, "metric": metric, "value": value}


def _facts(measured: list[ExpertMeasures], n_rows: int, clusters: list[int] | None) -> dict[str, Any]:
    first = [one for one in measured if (one.layer, one.name) == (measured[0].layer, measured[0].name)]
    facts: dict[str, Any] = {"rows": n_rows, "tokens": sum(one.tokens for one in first)}
    if clusters is not None:
        rows = [clusters.count(one.group or 0) for one in first]
        facts["clusters"] = [
            {"cluster": one.group, "rows": number, "tokens": one.tokens}
            for one, number in zip(first, rows, strict=True)
        ]
    facts |= {"top_k": measured[0].top_k, "shared_experts": any(one.shared for one in measured)}
    return {**facts, "metrics": ["effective", *METRICS]}
