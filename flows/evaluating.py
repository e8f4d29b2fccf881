"""``curate evaluate``: which models are asked and what, and the report that puts them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import progress, stages
from curate.flows.demo_pair import compressed_demo, is_demo
from curate.flows.retention import report
from curate.flows.session import session
from curate.flows.stages.evaluation import DEMO
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.flows.session import Session
    from curate.schemas.settings import Settings
    from curate.storage.warehouse import Warehouse


def evaluate(settings: Settings, model: str | None) -> dict[str, Any]:
    """Ask the model, the original and the compressed model, as far as they are given, and return the report.

    Parameters
    ----------
    settings : Settings
        Without tasks, corpus and models, the demo's held-out rows and the demo's pair are put in.
    model : str or None
        Folder or hub name of the model to judge; the compressed model where none is given.

    Raises
    ------
    UsageError
        If there is no model, or nothing to ask it.
    """
    with session("evaluate", settings, demo=False) as run:
        settings = _with_demo(run.warehouse, settings)
        subject = model or settings.compressed
        if subject is None:
            raise UsageError("there is no model to evaluate; name its folder, as in curate evaluate models/recovered")
        corpus = run.call(stages.ingest, run.warehouse, settings) if settings.corpus else None
        beside = _clusters(run, settings, corpus) if settings.evaluate.by == "cluster" else {}
        asked = {"model": subject, "original": settings.original, "compressed": settings.compressed}
        ids = {role: _asked(run, settings, name, corpus, beside) for role, name in asked.items() if name is not None}
    return report(run.warehouse, settings.evaluate.metric, ids)


def _with_demo(warehouse: Warehouse, settings: Settings) -> Settings:
    if settings.evaluate.tasks or not is_demo(settings):
        return settings
    from curate.flows import demo

    progress.note("no tasks and no models were given: asking the built-in demo's held-out rows")
    pair = {"original": str(demo.model_path()), "compressed": str(compressed_demo(warehouse))}
    asked = settings.evaluate.model_copy(update={"tasks": (DEMO,)})
    return settings.model_copy(update={"corpus": (str(demo.pool_path()),), "evaluate": asked, **pair})


def _clusters(run: Session, settings: Settings, corpus: str | None) -> dict[str, str]:
    """Return the clusters that held-out rows are grouped by, made now if they are not there yet."""
    if corpus is None:
        raise UsageError("--by cluster groups rows by the clusters of a corpus; pass --corpus FILE")
    embeddings = run.call(stages.embed, run.warehouse, settings, corpus)
    return {"clusters": run.call(stages.cluster, run.warehouse, settings, corpus, embeddings)}


def _asked(run: Session, settings: Settings, model: str, corpus: str | None, beside: dict[str, str]) -> str:
    made: str = run.call(stages.evaluate, run.warehouse, settings, model, corpus, beside)
    return made
