"""Starts the recovery of a selection when it is missing, none is under way, and the drift gate finds it worth training.

Asked every night of the current selection, not only when it is new: a recovery that could not be started, or that
failed, is started again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment

from curate.flows.deployments.drift_gate import worth_training

if TYPE_CHECKING:
    from curate.storage.warehouse.warehouse import Warehouse

UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


class Start(NamedTuple):
    """Whether a recovery was started, and why."""

    started: bool
    reason: str
    """One clause for the flow's log and state message."""


def start_recovery(
    warehouse: Warehouse, selection: str, deployment: str, settings: dict[str, Any], overlap_limit: float
) -> Start:
    """Start `deployment` on a selection unless it is trained, being trained, or too close to the last trained one.

    Parameters
    ----------
    selection : str
        Full id of the current selection.
    deployment : str
        ``"flow/deployment"``, such as ``"recovery/recovery"``.
    settings : dict
        Passed on to the recovery, nested by section.
    overlap_limit : float
        See `worth_training`.
    """
    decision = worth_training(warehouse, selection, overlap_limit)
    if not decision.train:
        return Start(False, decision.reason)
    if is_under_way(deployment, selection):
        return Start(False, "one of this selection is under way")
    # timeout=0: start the deployment and return, instead of occupying this worker until it has trained.
    run_deployment(deployment, parameters={"selection": selection, "settings": settings}, timeout=0)
    return Start(True, decision.reason)


def is_under_way(deployment: str, selection: str) -> bool:
    """Return True if a run of `deployment` on this selection is scheduled, waiting or running."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY))
    name = DeploymentFilterName(any_=[deployment.rpartition("/")[2]])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=name), flow_run_filter=FlowRunFilter(state=state)
        )
    return any(run.parameters.get("selection") == selection for run in runs)
