"""The flows behind prefect.yaml: curation over a drop folder every night, recovery when worth it, gc every week.

Parameters are what JSON can hold; settings not among them come from ``CURATE_*`` and the ``curate.toml`` of the
worker's folder, as on the command line. A flow that finds nothing to do completes and says so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.concurrency.sync import concurrency
from prefect.deployments import run_deployment
from prefect.states import Completed

from curate.flows import progress
from curate.flows.deployments.curation import PrefectLog, curation
from curate.flows.deployments.drift_gate import worth_training
from curate.flows.deployments.drop_folder import settled_files
from curate.schemas.errors import GateError
from curate.schemas.settings import resolve
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from curate.schemas.settings import Settings

NOTHING_NEW = "NothingNew"
GPU = "curate-gpu"
"""Global concurrency limit that every recovery takes a slot of, where it was created."""


@flow(name="nightly", persist_result=False)
def nightly(
    drop: str = "drop",
    settings: dict[str, Any] | None = None,
    settle_seconds: float = 60.0,
    recovery: str | None = None,
    overlap_limit: float = 0.9,
) -> State[Any]:
    """Select from everything in the drop folder, if anything there or in the settings is new since the last run.

    Parameters
    ----------
    drop : str
        Folder that new files are put into.
    settings : dict, optional
        Settings, nested by section, that go before the environment and ``curate.toml``.
    settle_seconds : float
        Files that changed more recently wait for the next run.
    recovery : str, optional
        Deployment that trains on a new selection, ``"recovery/recovery"``; none where not given.
    overlap_limit : float
        Overlap with the last trained selection from which that deployment is not started.
    """
    files = settled_files(Path(drop), settle_seconds)
    if not files:
        return Completed(name=NOTHING_NEW, message=f"no settled file in {Path(drop).absolute()}")
    resolved = resolve({**(settings or {}), "corpus": files})
    if standing := _standing(resolved):
        return Completed(name=NOTHING_NEW, message=f"{len(files)} files, nothing new: selection {standing} stands")
    chosen = str(curation(resolved.model_dump(mode="json")))
    warehouse = Warehouse(resolved.warehouse)
    _show(warehouse, chosen, resolved)
    message = f"selection {chosen} of {len(files)} files"
    if recovery is not None:
        verdict = worth_training(warehouse, chosen, overlap_limit)
        get_run_logger().info("%s %s: %s", "starting" if verdict.train else "not starting", recovery, verdict.why)
        if verdict.train:
            run_deployment(recovery, parameters={"selection": chosen, "settings": settings or {}}, timeout=0)
        message += f"; recovery {'started' if verdict.train else 'not started'}, {verdict.why}"
    return Completed(message=message)


@flow(name="recovery", persist_result=False)
def recovery(selection: str = "latest", settings: dict[str, Any] | None = None) -> State[Any]:
    """Train the model of a selection back; one at a time for every slot of the limit ``curate-gpu``."""
    from curate.flows.operations.recover import recover

    with progress.told_to(PrefectLog()), concurrency(GPU, occupy=1):
        _, made = recover(resolve(settings or {}), selection)
    return Completed(message=f"recovery {made}")


@flow(name="gc", persist_result=False)
def gc(settings: dict[str, Any] | None = None, grace_days: float = 7.0) -> State[Any]:
    """Remove what no selection and no recent run uses; while a run is under way, leave that to the next week."""
    from curate.flows.operations.collect_garbage import gc as collect

    try:
        told = collect(resolve(settings or {}), grace_days, delete=True)
    except GateError as under_way:
        return Completed(name="Postponed", message=str(under_way))
    return Completed(message=f"{len(told['garbage'])} things removed, {told['bytes']:,} bytes")


def _standing(settings: Settings) -> str | None:
    """Return the id of the selection that the settings lead to, if every stage of it is made already."""
    from curate.flows.operations.plan import plan

    steps = plan(settings)
    return str(steps[-1]["artefact"]) if all(step["state"] == "cached" for step in steps) else None


def _show(warehouse: Warehouse, selection: str, settings: Settings) -> None:
    """Write the report, and leave a link to it and the table of clusters with the flow run."""
    from curate.flows.operations.report import report
    from curate.flows.operations.selection_summary import clusters

    path = Path(report(settings, selection, None, png=False)["report"])
    create_link_artifact(
        key="curate-report", link=path.as_uri(), link_text=f"Report of selection {selection}", description=str(path)
    )
    rows = [{**row, "terms": ", ".join(row["terms"])} for row in clusters(warehouse, selection)]
    if rows:
        create_table_artifact(
            key="curate-clusters", table=rows, description=f"Clusters of selection {selection}, most damaged first"
        )
