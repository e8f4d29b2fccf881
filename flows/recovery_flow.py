"""The Prefect flow ``recovery``: one model trained back, one at a time on the machines that share a limit.

A curation flow starts it where its own pool has no GPU (`start`): as a deployment on another, or here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectAlreadyExists

from curate.flows import progress, stages
from curate.flows.curation import PrefectLog, as_task
from curate.flows.recovery import check_gate, for_selection
from curate.flows.session import session
from curate.schemas.errors import CurateError, GateError
from curate.schemas.settings import Settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

GPU_LIMIT = "curate-gpu"
"""Global concurrency limit that every recovery holds a slot of; made with one slot where it does not exist."""

HERE = "here"


@flow(name="recovery", persist_result=False, validate_parameters=False)
def recovery(settings: dict[str, Any], selection: str = "latest", anew: bool = False) -> str:
    """Train the model of a selection back and return the recovery id.

    Parameters
    ----------
    settings : dict
        The resolved settings of `curate.schemas.settings.Settings`, as JSON would give them.
    selection : str
        Id of the selection in the settings' warehouse, which the machine must reach.
    anew : bool
        Forget the checkpoints of an attempt that was cut off.
    """
    with progress.told_to(PrefectLog()):
        ready, chosen = for_selection(Settings(**settings), selection)
        check_gate(ready, chosen)
        _make_limit()
        with concurrency(GPU_LIMIT, occupy=1, strict=True), session("recovery", ready, as_task) as run:
            made: str = run.call(stages.recover, run.warehouse, run.settings, chosen, anew)
    return made


def start(where: str, settings: Settings, selection: str) -> str | None:
    """Recover on a selection, here or by a deployment, and return the recovery id where it is known here.

    Nothing is started where the drift gate says that there is little new to learn.

    Parameters
    ----------
    where : str
        ``"here"``, or the name of a deployment of the flow: ``"recovery/gpu"``.

    Raises
    ------
    CurateError
        If the deployment's run does not complete.
    """
    ready, chosen = for_selection(settings, selection)
    try:
        check_gate(ready, chosen)
    except GateError as refusal:
        progress.note(f"no recovery: {refusal}")
        return None
    parameters: dict[str, Any] = {"settings": settings.model_dump(mode="json"), "selection": chosen}
    if where == HERE:
        made: str = recovery(**parameters)
        return made
    run = cast("FlowRun", run_deployment(where, parameters=parameters))
    if run.state is None or not run.state.is_completed():
        told = "nothing" if run.state is None else f"{run.state.name}: {run.state.message}"
        raise CurateError(f"the recovery run {run.name!r} of deployment {where!r} did not complete ({told})")
    progress.note(f"recovered by {where!r}, run {run.name!r}")
    return None


def _make_limit() -> None:
    """Make the limit with one slot, unless it is there; an administrator may have given it more."""
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

    with get_client(sync_client=True) as client:
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=1))
        except ObjectAlreadyExists:
            return
