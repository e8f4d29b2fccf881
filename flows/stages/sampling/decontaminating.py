"""Takes targets back whose text contains a question of an evaluation: a model may recite what its corpus lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from curate.flows.stages.selecting.screening import evaluation_questions, evaluations
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


ROLE = "evaluation:"
"""How the roles of evaluation files among a selection's inputs begin."""


class Decontamination:
    """The evaluation files of ``--decontaminate``, read once."""

    def __init__(self, settings: Settings) -> None:
        self._items, self._questions = evaluation_questions(settings)

    def of(self, samples: pa.Table) -> pa.Table:
        """Return samples (`curate.schemas.targets.TARGETS`) of which no accepted one contains a question."""
        from curate.selectors.text.contamination import WORDS, contamination
        from curate.selectors.text.shingles import shingles

        accepted, texts = samples["accepted"].to_pylist(), samples["text"].to_pylist()
        places = [place for place, taken in enumerate(accepted) if taken]
        if not places or not self._items:
            return samples
        matches = contamination(shingles(((texts[place],) for place in places), WORDS), self._questions)
        matched = zip(places, matches.item.tolist(), strict=True)
        recited = {place: self._items[item].id for place, item in matched if item >= 0}
        columns = {
            "accepted": pa.array([taken and place not in recited for place, taken in enumerate(accepted)]),
            "contaminated_by": pa.array([recited.get(place) for place in range(len(accepted))], pa.string()),
        }
        for name, column in columns.items():
            samples = samples.set_column(samples.schema.get_field_index(name), samples.schema.field(name), column)
        return samples


def with_evaluations(warehouse: Warehouse, settings: Settings, selection: Manifest) -> Settings:
    """Return `settings` with the evaluation files that a selection was decontaminated against, where none are given.

    Raises
    ------
    UsageError
        If answers would be checked against fewer files than the rows were.
    """
    wanted = {digest: role.split(":", 2)[2] for role, digest in selection.inputs.items() if role.startswith(ROLE)}
    if settings.select.decontaminate:
        known = set(evaluations(warehouse, settings).values())
    else:
        options = {"decontaminate": tuple(selection.facts.get("decontaminated", ()))}
        settings = settings.model_copy(update={"select": settings.select.model_copy(update=options)})
        known = _readable(warehouse, settings)
    if missing := sorted(name for digest, name in wanted.items() if digest not in known):
        raise UsageError(
            f"selection {selection.id} was decontaminated against {', '.join(missing)}, which is not here as it was; "
            "pass it by --decontaminate, since a model's answers can contain its questions too"
        )
    return settings


def _readable(warehouse: Warehouse, settings: Settings) -> set[str]:
    """Return the digests of the evaluation files; none if one of them is gone."""
    try:
        return set(evaluations(warehouse, settings).values())
    except InputError:
        return set()
