"""The pipeline: corpus → tokens → embeddings → clusters → scores → pilots → selection, each only if it is needed.

The one body of both ways to run: the command line calls the stages directly, Prefect submits them as tasks. The caller
passes ``call``, which takes a stage and its arguments and returns the artefact id or a future of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows.stages import scores, token_counts
from curate.flows.stages.stage import stages_before

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from curate.flows.stages.selecting.request import SelectionRequest
    from curate.flows.stages.stage import Stage
    from curate.schemas.artefacts import Noun
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

    Call = Callable[..., Any]


def run(warehouse: Warehouse, request: SelectionRequest, call: Call) -> Any:
    """Run every stage that the selection needs and return what `call` gave for the last.

    Raises
    ------
    InputError, UsageError
        If the models cannot be scored, before anything is computed; or as the stages raise.
    """
    if "scores" in request.nouns:
        scores.check(warehouse, request.settings)
    elif "tokens" in request.nouns:
        token_counts.check(warehouse, request.settings)
    return walk(warehouse, request, call)


def walk(warehouse: Warehouse, request: SelectionRequest, call: Call) -> Any:
    """Call every stage that the selection needs, in order, and return what `call` gave for the last."""
    needed = (stage for stage in stages_before("selection") if stage.noun in {*request.nouns, "selection"})
    return _call_all(needed, warehouse, request.settings, request, call)


def make(warehouse: Warehouse, settings: Settings, noun: Noun, call: Call) -> Any:
    """Run the stages up to one noun, of those before the selection, and return what `call` gave for it."""
    return _call_all(stages_before(noun), warehouse, settings, None, call)


def _call_all(
    stages: Iterable[Stage], warehouse: Warehouse, settings: Settings, request: SelectionRequest | None, call: Call
) -> Any:
    ids: dict[Noun, Any] = {}
    result = None
    for stage in stages:
        result = ids[stage.noun] = call(stage.run, warehouse, *stage.arguments(settings, request, ids))
    return result


def directly(stage: Callable[..., Any], *arguments: Any) -> Any:
    """Call a stage in this process, now."""
    return stage(*arguments)
