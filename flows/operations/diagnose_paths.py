"""``curate diagnose paths``: which layers single items can do without, and what such paths do on other items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import stages
from curate.flows.converted_models import converted
from curate.flows.session import session
from curate.flows.stages.diagnosing.choice_items import check_tasks

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

ITEM_METRICS = ("full_right", "best_right", "shortest_right", "simulations")


def diagnose_paths(settings: Settings, model: str) -> dict[str, Any]:
    """Search paths through the layers of `model` for multiple-choice items, and apply the most frequent to others.

    Returns
    -------
    dict
        ``diagnosis_id``, ``model``, ``tasks``, ``layers``; ``searched`` with ``items``, ``full_right`` and
        ``best_right``, numbers of items; ``held_out`` with ``items``, ``accuracy_full`` and ``paths``, one dict each of
        ``path``, ``layers``, ``votes``, ``accuracy`` and ``accuracy_random``; ``items``, one dict per searched item.

    Raises
    ------
    UsageError
        Without a task, with one that is not multiple choice, or with too few items for two parts.
    InputError
        If the model or a task cannot be used.
    """
    check_tasks(settings)
    with session("diagnose", settings, demo=False) as run:
        name = converted(run.warehouse, model, settings.trust_pickle) or model
        diagnosis = run.call(stages.diagnose_paths, run.warehouse, run.settings, name)
    facts = run.warehouse.manifest("diagnosis", diagnosis).facts
    report = {name: facts[name] for name in ("model", "tasks", "layers", "searched", "held_out")}
    items: list[dict[str, Any]] = [{} for _ in range(report["searched"]["items"])]
    for row in run.warehouse.read("diagnosis", diagnosis).to_pylist():
        if row["metric"] in ITEM_METRICS:
            items[row["place"]][row["metric"]] = int(row["value"])
    return {"diagnosis_id": diagnosis, **report, "items": items}
