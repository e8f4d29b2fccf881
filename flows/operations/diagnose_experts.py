"""``curate diagnose experts``: measures how much rows of a corpus use the experts of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import stages
from curate.flows.converted_models import converted
from curate.flows.session import session
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.schemas.settings import Settings

FACTS = ("model", "rows", "tokens", "top_k", "shared_experts")


def diagnose_experts(settings: Settings, model: str) -> dict[str, Any]:
    """Measure the experts of `model` on rows of the corpus, or of each of its clusters.

    Returns
    -------
    dict
        ``diagnosis_id``, ``model``, ``rows``, ``tokens``, ``top_k``, ``shared_experts``; ``clusters``, one dict each of
        ``cluster``, ``rows`` and ``tokens``, if the rows were measured by cluster; ``routers``, one dict per layer,
        block and cluster with ``layer``, ``block``, ``cluster`` (None for all rows), ``effective`` and ``experts``, one
        dict each of ``expert``, ``usage``, ``gate_mass`` and, where it was measured, ``output_norm``.

    Raises
    ------
    UsageError
        Without a corpus.
    GateError
        If the model is dense.
    InputError
        If the model or the corpus cannot be used.
    """
    if not settings.corpus:
        raise UsageError("the use of experts is measured on data; pass --corpus FILE")
    with session("diagnose", settings, demo=False) as run:
        name = converted(run.warehouse, model, settings.trust_pickle) or model
        corpus = run.call(stages.ingest, run.warehouse, run.settings)
        clusters = None
        if settings.diagnose.by == "cluster":
            embeddings = run.call(stages.embed, run.warehouse, run.settings, corpus)
            clusters = run.call(stages.cluster, run.warehouse, run.settings, corpus, embeddings)
        diagnosis = run.call(stages.diagnose_experts, run.warehouse, run.settings, corpus, clusters, name)
    facts = run.warehouse.manifest("diagnosis", diagnosis).facts
    by_cluster = {"clusters": facts["clusters"]} if "clusters" in facts else {}
    routers = by_router(run.warehouse.read("diagnosis", diagnosis))
    return {"diagnosis_id": diagnosis, **{name: facts[name] for name in FACTS}, **by_cluster, "routers": routers}


def by_router(table: pa.Table) -> list[dict[str, Any]]:
    """Return one dict per layer, block and cluster from the long table of a diagnosis, in its order."""
    routers: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in table.to_pylist():
        about = {"layer": row["place"], "block": row["block"], "cluster": row["cluster"]}
        router = routers.setdefault(tuple(about.values()), {**about, "effective": None, "experts": {}})
        if row["expert"] is None:
            router[row["metric"]] = row["value"]
        else:
            expert = router["experts"].setdefault(row["expert"], {"expert": row["expert"]})
            expert[row["metric"]] = row["value"]
    return [{**router, "experts": list(router["experts"].values())} for router in routers.values()]
