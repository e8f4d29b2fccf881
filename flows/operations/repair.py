"""``curate doctor --repair``: makes damaged artefacts again, with the settings of the run that made them.

An artefact is made again only if its recipe still gives the same id: then its inputs, its settings and the version of
its stage are those of before, and so are its rows. The parts that are intact stay. Upstream artefacts come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows.converted_models import with_converted
from curate.flows.demo.pair import with_demo
from curate.flows.session import open_warehouse
from curate.flows.stages.recovering.targets import with_targets_id
from curate.flows.stages.selecting.request import parse_request
from curate.flows.stages.selection import with_reference
from curate.flows.stages.stage import STAGES, Stage
from curate.schemas.artefacts import NOUNS, Manifest, Noun
from curate.schemas.errors import CurateError, UsageError
from curate.schemas.settings import resolve
from curate.storage.catalog.publish import publish
from curate.storage.maintenance.damage import Damage, find_damage, restore, set_aside
from curate.storage.warehouse.runs import runs_with
from curate.storage.warehouse.warehouse import verify

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

_BACKUP = "restore its folder from a backup, or delete it"


def repair(settings: Settings) -> list[dict[str, Any]]:
    """Make every damaged artefact again for which that is possible, then publish the catalog.

    Returns
    -------
    list of dict
        ``noun``, ``id``, ``problems`` (sentences), ``repaired`` (bool) and ``outcome`` (one clause), one for each
        damaged artefact, upstream ones first.

    Raises
    ------
    WarehouseError
        If the warehouse cannot be written, or a damaged artefact stays locked by another process.
    """
    warehouse = open_warehouse(settings)
    report = [_repaired(warehouse, damage) for noun in NOUNS for damage in find_damage(warehouse, noun)]
    if warehouse.root.is_dir():
        publish(warehouse)
    return report


def _repaired(warehouse: Warehouse, damage: Damage) -> dict[str, Any]:
    """Make one artefact again and return its line of the report."""
    try:
        stage, arguments = _call_of(warehouse, damage.noun, damage.identity)
        expected = stage.recipe(warehouse, *arguments).id
        if expected != damage.id:
            raise UsageError(f"its inputs or settings are no longer those of before (now {expected}); {_BACKUP}")
        moved = set_aside(warehouse, damage)
        try:
            stage.run(warehouse, *arguments)
        except BaseException:
            restore(moved)
            raise
        left = verify(warehouse, damage.noun, damage.id)
        repaired, outcome = not left, left[0] if left else "made again"
    except CurateError as error:
        repaired, outcome = False, f"cannot be made again: {error}"
    return {
        "noun": damage.noun,
        "id": damage.id,
        "problems": list(damage.problems),
        "repaired": repaired,
        "outcome": outcome,
    }


def _call_of(warehouse: Warehouse, noun: Noun, identity: Manifest) -> tuple[Stage, list[Any]]:
    """Return the stage that made an artefact and its arguments after the warehouse.

    Raises
    ------
    UsageError
        If a run of the stages cannot make it, or no record of such a run is left.
    """
    if noun == "evaluation":
        raise UsageError("delete its folder and run the same `curate evaluate` or `curate compare` again")
    if "imported" in identity.settings:
        raise UsageError(f"delete its folder and run `curate import-scores {identity.settings['imported']}` again")
    stage = next(stage for stage in STAGES if stage.noun == noun)
    settings = _settings_of(warehouse, noun, identity)
    ids = {name: identity.inputs.get(name) for name in NOUNS}
    request = None
    if stage.takes_request:
        request = with_reference(warehouse, parse_request(settings), identity.inputs["corpus"])
    return stage, stage.arguments(settings, request, ids)


def _settings_of(warehouse: Warehouse, noun: Noun, identity: Manifest) -> Settings:
    """Return the settings of the newest run that made or used an artefact."""
    record = next(runs_with(warehouse.root, f"{noun}/{identity.id}"), None)
    if record is None:
        raise UsageError(f"no run record names it; {_BACKUP} and run the command that made it again")
    settings = resolve({**record.settings, "warehouse": warehouse.root})
    if noun in ("targets", "recovery"):
        from curate.flows.operations.recover import for_selection

        settings = with_targets_id(settings, identity.inputs.get("targets"))
        return for_selection(settings, identity.inputs["selection"])[0]
    return with_converted(warehouse, with_demo(warehouse, settings))
