"""One run of the command line or of a Prefect flow: settings in, a run record, the stages, a published catalog out."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.flows import pipeline
from curate.flows.converted_models import with_converted
from curate.flows.demo.pair import with_demo
from curate.flows.stages.stage import stage_of
from curate.schemas.errors import UsageError
from curate.schemas.thread_limits import as_environment
from curate.storage.warehouse.permissions import private_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from curate.schemas.artefacts import Noun
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Session:
    """A warehouse, the resolved settings, and the way in which stages are called."""

    warehouse: Warehouse
    settings: Settings
    call: Callable[..., Any]


def open_warehouse(settings: Settings) -> Warehouse:
    """Return the warehouse of the settings, which need not exist yet; every verb opens it here.

    Raises
    ------
    UsageError
        If DuckDB cannot open files in a folder of that name, or it is an address.
    """
    from curate.storage.formats.containers.remote import has_scheme
    from curate.storage.warehouse.warehouse import Warehouse

    if has_scheme(settings.warehouse):
        raise UsageError(
            f"--warehouse {settings.warehouse} is an address; a warehouse is a local folder: copy it there afterwards"
        )
    return Warehouse(settings.warehouse.absolute(), settings.lock_timeout, settings.verify)


@contextmanager
def session(
    command: str, settings: Settings, call: Callable[..., Any] = pipeline.directly, *, demo: bool = True
) -> Iterator[Session]:
    """Record a run and every artefact that its stages return, and publish the catalog when it ends well.

    Parameters
    ----------
    command : str
        The verb, for the run's record.
    settings : Settings
        Resolved settings; without a corpus and models, those of the demo are used.
    call : callable
        How a stage is called: directly, or as a Prefect task.
    demo : bool
        False for verbs that make sense without a corpus: the settings stay as they are.

    Raises
    ------
    WarehouseError
        If the warehouse cannot be written.
    """
    from curate.storage.catalog.publish import publish

    limit_threads(settings.threads)
    warehouse = open_warehouse(settings)
    with private_files(settings.shared), warehouse.start_run(command, settings.model_dump(mode="json")) as run:
        settings = with_converted(warehouse, with_demo(warehouse, settings) if demo else settings)

        def recorded(stage: Callable[..., Any], *arguments: Any) -> Any:
            result = call(stage, *arguments)
            if isinstance(result, str):
                run.add(stage_of(stage).noun, result)
            return result

        yield Session(warehouse, settings, recorded)
    with private_files(settings.shared):
        publish(warehouse)


def make(noun: Noun, settings: Settings) -> tuple[Warehouse, str]:
    """Run the pipeline up to one noun, of those before the selection, and return the warehouse and the artefact id."""
    with session(noun, settings) as run:
        artefact_id: str = pipeline.make(run.warehouse, run.settings, noun, run.call)
    return run.warehouse, artefact_id


def limit_threads(threads: int | None) -> None:
    """Hold the numerical libraries of this process, loaded or not yet, to `threads`.

    Threads that wait for one another sleep rather than spin, unless the environment says otherwise: on a machine that
    others use too, spinning costs ten times the work (LOG.md). It holds for libraries that are loaded after this.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads is None:
        return
    os.environ.update(as_environment(threads))
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
