"""The Prefect flow ``curation``: the same pipeline, each stage a task that passes artefact ids, never frames."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from curate.flows import pipeline, progress
from curate.flows.deployments import retries
from curate.flows.session import session
from curate.schemas.settings import Settings


class PrefectLog(progress.Lines):
    """Writes the progress of a stage to the Prefect run's log."""

    @staticmethod
    def _write(text: str) -> None:
        get_run_logger().info(text)


def as_task(stage: Any, *arguments: Any) -> Any:
    """Run a stage as a task of its own name; the warehouse remembers what is done, so Prefect need not.

    Errors that pass by themselves are tried again, and the stage goes on at its last finished part.
    """
    run = task(
        stage,
        name=stage.__name__,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(retries.DELAYS),
        retry_delay_seconds=list(retries.DELAYS),
        retry_condition_fn=_may_pass,
    )
    return run(*arguments)


def _may_pass(_task: Any, _run: Any, state: State[Any]) -> bool:
    return isinstance(state.data, BaseException) and retries.is_transient(state.data)


@flow(name="curation", persist_result=False, validate_parameters=False)
def curation(settings: dict[str, Any]) -> str:
    """Run the pipeline from a corpus to a selection and return the selection id.

    Parameters
    ----------
    settings : dict
        The resolved settings of `curate.schemas.settings.Settings`, as JSON would give them.
    """
    with progress.told_to(PrefectLog()), session("curation", Settings(**settings), as_task) as run:
        chosen: str = pipeline.run(run.warehouse, run.settings, run.call)
    return chosen
