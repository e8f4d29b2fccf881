"""Whether a command runs here or as a Prefect flow run: the one place that looks at ``PREFECT_API_URL``.

Without it Prefect is not even imported.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from curate.flows import pipeline
from curate.flows.operations import recover as local
from curate.flows.session import open_warehouse, session
from curate.flows.stages.recovery import recipe
from curate.flows.stages.selecting.request import resolve_request
from curate.schemas.errors import CurateError
from curate.storage.warehouse.warehouse import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def select(settings: Settings, command: str = "select") -> tuple[Warehouse, str]:
    """Run the whole pipeline and return the warehouse and the selection id.

    With ``PREFECT_API_URL`` set, the run is a Prefect flow run.
    """
    request = resolve_request(settings)
    if os.environ.get("PREFECT_API_URL"):
        from curate.flows.deployments.curation import curation

        with _reachable():
            chosen = curation(settings.model_dump(mode="json"))
        return open_warehouse(settings), chosen
    with session(command, settings) as run:
        chosen = pipeline.run(run.warehouse, request.with_settings(run.settings), run.call)
    return run.warehouse, chosen


def recover(
    settings: Settings, selection: str = LATEST, out: Path | None = None, anew: bool = False
) -> tuple[Warehouse, str]:
    """Recover here, or as a Prefect flow run where ``PREFECT_API_URL`` is set."""
    if not os.environ.get("PREFECT_API_URL"):
        return local.recover(settings, selection, out, anew)
    from curate.flows.deployments.scheduled import recovery
    from curate.flows.deployments.settings_form import SettingsForm

    local.refuse_taken(out)
    ready, chosen = local.for_selection(settings, selection)
    warehouse = open_warehouse(ready)
    recovery_id = recipe(warehouse, ready, chosen).id
    if anew:
        shutil.rmtree(warehouse.root / "jobs" / recovery_id, ignore_errors=True)
    with _reachable():
        recovery(chosen, SettingsForm.model_validate(settings.model_dump(mode="json")))
    return warehouse, local.copied(warehouse, recovery_id, out)


@contextmanager
def _reachable() -> Iterator[None]:
    """Say in one sentence that no server answers at ``PREFECT_API_URL``; Prefect raises a bare RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if "reach API" not in str(error):
            raise
        raise CurateError(
            f"no Prefect server answers at PREFECT_API_URL={os.environ['PREFECT_API_URL']}; start it with "
            "`prefect server start`, or unset PREFECT_API_URL to run here"
        ) from error
