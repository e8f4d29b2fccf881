"""``curate diagnose prompts``: measures how a model's answers move over wordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import stages
from curate.flows.converted_models import converted
from curate.flows.session import session
from curate.flows.stages.diagnosing.choice_items import check_tasks

if TYPE_CHECKING:
    from curate.schemas.settings import Settings


def diagnose_prompts(settings: Settings, model: str) -> dict[str, Any]:
    """Measure how the score of `model` on multiple-choice tasks moves over wordings, and whether damage is above that.

    Returns
    -------
    dict
        ``diagnosis_id``, ``model``, ``original``, ``tasks``, ``items``; ``wordings``, one dict per wording with
        ``prompt``, ``influence`` and, if it was kept, ``score`` and ``score_original``; ``spread``; with an original
        ``spread_original``, ``damage`` and ``above``; ``search``, if wordings were chosen.

    Raises
    ------
    UsageError
        Without a task, or with one that is not multiple choice.
    InputError
        If a model, a task or the wordings cannot be used.
    """
    check_tasks(settings)
    with session("diagnose", settings, demo=False) as run:
        name = converted(run.warehouse, model, settings.trust_pickle) or model
        diagnosis = run.call(stages.diagnose_prompts, run.warehouse, run.settings, name)
    facts = dict(run.warehouse.manifest("diagnosis", diagnosis).facts)
    facts.pop("metrics")
    wordings = [{"prompt": text} for text in facts.pop("wordings")]
    for row in run.warehouse.read("diagnosis", diagnosis).to_pylist():
        wordings[row["place"]][row["metric"]] = row["value"]
    return {"diagnosis_id": diagnosis, **facts, "wordings": wordings}
