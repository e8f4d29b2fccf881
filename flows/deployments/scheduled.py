"""The flows behind prefect.yaml: nightly curation of a drop folder, recovery after drift, weekly garbage collection.

Parameters are JSON-compatible; other settings come from ``CURATE_*`` and the ``curate.toml`` of the worker's folder, as
on the command line. A flow with nothing to do completes with a message that states it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# The log of a worker is no terminal: bars of tqdm, datasets and the hub would fill it with half lines.
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

from prefect import flow, get_run_logger
from prefect.concurrency.sync import concurrency
from prefect.states import Completed

from curate.flows import progress
from curate.flows.deployments.artifacts import publish_artifacts
from curate.flows.deployments.curation import PrefectLog, curation
from curate.flows.deployments.drop_folder import settled_files
from curate.flows.deployments.recovery_start import start_recovery
from curate.flows.deployments.settings_form import SettingsForm, overrides
from curate.flows.operations.plan import existing_selection
from curate.flows.session import open_warehouse
from curate.schemas.errors import GateError
from curate.schemas.settings import resolve

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


NOTHING_NEW = "NothingNew"
GPU = "curate-gpu"
"""Global concurrency limit of which every recovery takes a slot; without such a limit recoveries are not limited."""


# Docstrings of flows are in the one layout from which Prefect takes the descriptions of parameters.
@flow(name="nightly", persist_result=False)
def nightly(
    drop: str = "drop",
    settings: SettingsForm | None = None,
    settle_seconds: float = 60.0,
    recovery: str | None = None,
    overlap_limit: float = 0.9,
    report_url: str | None = None,
) -> State[Any]:
    """Select from all files in the drop folder if they or the settings have changed since the last run.

    A report that is missing is written, and a recovery that is missing is started, whether the selection is new or not.

    Args:
        drop: Folder that receives new files; relative paths begin at the worker's working folder.
        settings: Settings that override the environment and curate.toml; a field left empty overrides nothing.
        settle_seconds: Files that changed within so many seconds wait for the next run.
        recovery: Deployment that trains on the selection, "recovery/recovery"; empty to start none.
        overlap_limit: Overlap with the last trained selection (Jaccard index) from which no recovery is started.
        report_url: Address at which the folder of the reports is served, for the link in the report's artifact.
    """
    given = overrides(settings)
    files = settled_files(Path(drop), settle_seconds)
    if not files:
        return Completed(name=NOTHING_NEW, message=f"no settled file in {Path(drop).absolute()}")
    resolved = resolve({**given, "corpus": files})
    warehouse = open_warehouse(resolved)
    existing = existing_selection(resolved)
    selection_id = existing or str(curation(resolved.model_dump(mode="json")))
    if not (warehouse.root / "reports" / f"{selection_id}.html").exists():
        publish_artifacts(warehouse, selection_id, resolved, report_url)
    is_current = f"{len(files)} files, nothing new: selection {selection_id} is current"
    message = is_current if existing else f"selection {selection_id} of {len(files)} files"
    started = False
    if recovery is not None:
        started, reason = start_recovery(warehouse, selection_id, recovery, given, overlap_limit)
        get_run_logger().info("%s %s: %s", "starting" if started else "not starting", recovery, reason)
        message += f"; recovery {'started' if started else 'not started'}, {reason}"
    return Completed(name=None if started or not existing else NOTHING_NEW, message=message)


@flow(name="recovery", persist_result=False)
def recovery(selection: str = "latest", settings: SettingsForm | None = None) -> State[Any]:
    """Recover the compressed model of a selection; as many at once as the limit ``curate-gpu`` has slots.

    Args:
        selection: Id of the selection to train on, its beginning, "latest" or "previous".
        settings: Settings that override the environment and curate.toml; a field left empty overrides nothing.
    """
    from curate.flows.operations.recover import recover

    with progress.report_to(PrefectLog()), concurrency(GPU, occupy=1):
        _, recovery_id = recover(resolve(overrides(settings)), selection)
    return Completed(message=f"recovery {recovery_id}")


@flow(name="gc", persist_result=False)
def gc(settings: SettingsForm | None = None, grace_days: float = 7.0) -> State[Any]:
    """Remove files that no selection and no recent run uses; postponed to the next week while a run is active.

    Args:
        settings: Settings that override the environment and curate.toml; a field left empty overrides nothing.
        grace_days: Files younger than so many days are kept.
    """
    from curate.flows.operations.collect_garbage import gc as collect

    try:
        summary = collect(resolve(overrides(settings)), grace_days, delete=True)
    except GateError as active_run:
        return Completed(name="Postponed", message=str(active_run))
    return Completed(message=f"{len(summary['garbage'])} items removed, {summary['bytes']:,} bytes")
