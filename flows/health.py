"""``curate status`` and ``curate doctor``: what a warehouse holds, and whether it is what was written."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Any

from curate.schemas.artefacts import NOUNS, Manifest
from curate.storage.parts import library_versions
from curate.storage.runs import read_runs
from curate.storage.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from pathlib import Path


def inventory(root: Path) -> dict[str, Any]:
    """Return the artefacts of a warehouse, newest first within each noun, its runs, and what cannot be read."""
    warehouse = Warehouse(root)
    artefacts: list[dict[str, Any]] = []
    problems: list[str] = []
    for noun in NOUNS:
        made, unreadable = warehouse.scan(noun)
        problems += unreadable
        for one in made:
            folder = warehouse.folder(noun, one.id)
            size = sum((folder / part.file).stat().st_size for part in one.parts if (folder / part.file).exists())
            artefacts.append(
                {
                    "noun": noun,
                    "id": one.id,
                    "created": one.created[:19].replace("T", " "),
                    "rows": one.rows(),
                    "bytes": size,
                    "what": _what(one),
                }
            )
    runs, unreadable = read_runs(warehouse.root)
    heads = ("id", "started", "finished", "command", "status", "error", "artefacts")
    return {
        "warehouse": str(warehouse.root),
        "bytes": sum(one["bytes"] for one in artefacts),
        "artefacts": artefacts,
        "runs": [{head: getattr(run, head) for head in heads} for run in runs],
        "problems": problems + unreadable,
    }


def _what(made: Manifest) -> str:
    """Return what tells an artefact from its siblings."""
    facts, settings = made.facts, made.settings
    if made.noun == "corpus":
        return ", ".join(str(name).rpartition("/")[2] for name in facts.get("files", []))
    if made.noun == "selection":
        return f"{settings['method']}, budget {settings['budget']}: {facts['n_kept']:,} kept"
    if made.noun == "scores":
        return " → ".join(str(name).rpartition("/")[2] for name in facts["models"].values() if name)
    if made.noun == "clusters":
        return f"{facts['n_clusters']} clusters"
    if made.noun == "recovery":
        return f"{facts['method']} on selection {made.inputs['selection']}: {facts['steps']:,} steps"
    return str(settings.get("encoder", ""))


def examine(root: Path) -> dict[str, Any]:
    """Return the environment, and every artefact of the warehouse that is not what was written."""
    warehouse = Warehouse(root)
    environment = {"platform": platform.platform(), "executable": sys.executable, **dict(library_versions())}
    environment["devices"] = ", ".join(_devices())
    problems: list[str] = []
    artefacts = parts = 0
    for noun in NOUNS:
        made, unreadable = warehouse.scan(noun)
        problems += unreadable
        for one in made:
            artefacts, parts = artefacts + 1, parts + len(one.parts)
            problems += verify(warehouse, noun, one.id)
    return {
        "environment": environment,
        "artefacts_checked": artefacts,
        "parts_checked": parts,
        "problems": problems,
    }


def examine_model(model: str, original: str | None) -> dict[str, Any]:
    """Return what was done to a model, and the method that ``curate recover`` would take and why.

    Raises
    ------
    InputError
        When it holds no usable model.
    """
    from curate.engines.recover import inspect_model
    from curate.engines.recover.choice import choose_method
    from curate.schemas.errors import GateError
    from curate.schemas.recovery import RecoveryRequest

    found = inspect_model(model, original)
    try:
        method, why = choose_method(RecoveryRequest(merge=found.quantisation is None), found)
    except GateError as error:
        return {"sentence": found.sentence(), **found.to_json(), "method": None, "reason": str(error)}
    return {"sentence": found.sentence(), **found.to_json(), "method": method, "reason": why}


def _devices() -> list[str]:
    from curate.engines.devices import device_names

    return device_names()
