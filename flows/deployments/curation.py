"""The Prefect flow ``curation``: the same pipeline with each stage as a task that passes artefact ids, never tables."""

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
from curate.flows.stages.selecting.request import resolve_request
from curate.schemas.settings import Settings


class PrefectLog(progress.LineListener):
    """Writes the progress of a stage to the Prefect run's log."""

    @staticmethod
    def _write(text: str) -> None:
        get_run_logger().info(text)


def as_task(stage: Any, *arguments: Any) -> Any:
    """Run a stage as a Prefect task with the stage's name.

    The warehouse records finished artefacts, so Prefect's cache and result storage are off. Transient errors are
    retried, and the stage resumes after its last finished part.
    """
    run = task(
        stage,
        name=stage.__name__,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(retries.DELAYS),
        retry_delay_seconds=list(retries.DELAYS),
        retry_condition_fn=_should_retry,
    )
    return run(*arguments)


def _should_retry(_task: Any, _run: Any, state: State[Any]) -> bool:
    return isinstance(state.data, BaseException) and retries.is_transient(state.data)


@flow(name="curation", persist_result=False, validate_parameters=False)
def curation(settings: dict[str, Any]) -> str:
    """Run the pipeline from a corpus to a selection and return the selection id.

    Parameters
    ----------
    settings : dict
        The resolved settings of `curate.schemas.settings.Settings` as JSON-compatible values.
    """
    with progress.report_to(PrefectLog()), session("curation", Settings(**settings), as_task) as run:
        selection_id: str = pipeline.run(run.warehouse, resolve_request(run.settings), run.call)
    return selection_id
