"""``curate sample``: draws a model's own answers to the rows of a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import progress, stages
from curate.flows.converted_models import converted
from curate.flows.operations.recover import for_selection
from curate.flows.session import open_warehouse, session
from curate.flows.stages.sampling.decontaminating import with_evaluations
from curate.flows.stages.targets import model_of
from curate.storage.warehouse.warehouse import LATEST

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

SHOWN = (
    "rows",
    "asked",
    "solved",
    "samples",
    "mean_samples",
    "tokens",
    "tokens_always",
    "stopped_early",
    "contaminated",
    "warnings",
)


def sample(settings: Settings, selection: str = LATEST) -> tuple[Warehouse, str]:
    """Draw answers to the rows of a selection, and return the warehouse and the targets id.

    Parameters
    ----------
    settings : Settings
        As given; the models of the selection are used where none are given.
    selection : str
        Its id, a beginning of it, or ``latest``.

    Raises
    ------
    UsageError
        If there is no such selection, or an evaluation file that it was decontaminated against.
    InputError
        If the model cannot be used.
    GateError
        If ``likelihood`` or ``selfeval`` does not tell right answers from wrong ones on rows with a check.
    """
    settings, chosen = for_selection(settings, selection)
    warehouse = open_warehouse(settings)
    settings = with_evaluations(warehouse, settings, warehouse.manifest("selection", chosen))
    model = converted(warehouse, model_of(settings, chosen), settings.trust_pickle)
    settings = settings.model_copy(update={"sample": settings.sample.model_copy(update={"model": model})})
    with session("sample", settings) as run:
        targets: str = run.call(stages.sample, run.warehouse, run.settings, chosen)
    for warning in run.warehouse.manifest("targets", targets).facts["warnings"]:
        progress.note(f"warning: {warning}")
    return run.warehouse, targets


def summary(warehouse: Warehouse, targets: str) -> dict[str, Any]:
    """Return what ``curate sample --json`` prints: ids, rows asked and solved, samples and tokens.

    ``tokens_always`` estimates the tokens of always drawing ``best_of`` samples; ``solved_greedy`` are the rows whose
    likeliest answer was accepted; ``calibration`` is what was measured of likelihood or selfeval, else None;
    ``stopped_early`` counts ``pruned``, the samples that stopped at ``prune_at`` tokens.
    """
    manifest = warehouse.manifest("targets", targets)
    settings = {name: manifest.settings[name] for name in ("accept", "best_of", "temperature")}
    # Targets in which nothing is pruned have none of these.
    settings |= {name: manifest.settings.get(name) for name in ("prune_at", "prune_keep")}
    named = {"targets_id": targets, "selection_id": manifest.inputs["selection"], "model": manifest.facts["model"]}
    numbers = warehouse.read("targets", targets, "summary", ["accepted_number"])["accepted_number"].to_pylist()
    measured = {"solved_greedy": numbers.count(1), "calibration": manifest.facts.get("calibration")}
    measured["pruned"] = manifest.facts.get("pruned", 0)
    return {**named, **settings, **{name: manifest.facts[name] for name in SHOWN}, **measured}
