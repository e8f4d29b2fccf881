"""``curate diagnose layers``: measures the layers of a model and compares the measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows import stages
from curate.flows.converted_models import converted
from curate.flows.operations.pictures import draw_layers_if_possible
from curate.flows.session import session
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.schemas.settings import Settings


def diagnose_layers(settings: Settings, model: str) -> dict[str, Any]:
    """Measure every decoder layer of `model` on rows of the corpus.

    Returns
    -------
    dict
        ``diagnosis_id``, ``model``, ``original``, ``rows``, ``tokens``; ``layers``, one dict per layer with ``layer``
        and each metric; ``spearman``, the rank correlation of every metric with ``loss_without``, if that was measured;
        ``picture``, the path of the picture, or None.

    Raises
    ------
    UsageError
        Without a corpus.
    InputError
        If a model or the corpus cannot be used.
    """
    if not settings.corpus:
        raise UsageError("layers are measured on data; pass --corpus FILE")
    with session("diagnose", settings, demo=False) as run:
        name = converted(run.warehouse, model, settings.trust_pickle) or model
        corpus = run.call(stages.ingest, run.warehouse, run.settings)
        diagnosis = run.call(stages.diagnose, run.warehouse, run.settings, corpus, name)
    manifest = run.warehouse.manifest("diagnosis", diagnosis)
    facts = {name: manifest.facts[name] for name in ("model", "original", "rows", "tokens")}
    layers = by_layer(run.warehouse.read("diagnosis", diagnosis))
    picture = draw_layers_if_possible(run.warehouse, diagnosis, layers)
    measured = {"layers": layers, "spearman": rank_correlations(layers), "picture": str(picture) if picture else None}
    return {"diagnosis_id": diagnosis, **facts, **measured}


def by_layer(table: pa.Table) -> list[dict[str, Any]]:
    """Return one dict per layer from the long table of a diagnosis."""
    layers: dict[int, dict[str, Any]] = {}
    for row in table.to_pylist():
        layers.setdefault(row["place"], {"layer": row["place"]})[row["metric"]] = row["value"]
    return [layers[place] for place in sorted(layers)]


def rank_correlations(layers: list[dict[str, Any]]) -> dict[str, float]:
    """Return Spearman's correlation of every metric with ``loss_without``; empty if that was not measured."""
    from scipy.stats import spearmanr

    if len(layers) < 3 or "loss_without" not in layers[0]:
        return {}
    values = {name: np.array([layer[name] for layer in layers]) for name in layers[0] if name != "layer"}
    target = values.pop("loss_without")
    return {name: float(spearmanr(one, target).statistic) for name, one in values.items()}
