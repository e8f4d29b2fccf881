"""Garbage collection (``curate gc``): decides which files of a warehouse are garbage, and removes them.

Kept: every selection, recovery and evaluation with all its inputs, imported scores, and all artefacts that a run of the
grace period built or reused. Garbage, once older than the grace period: other artefacts, unfinished artefacts,
temporary files of killed processes, pictures, reports and models of deleted artefacts, and cached predictions of
original models that no run has used since. If any manifest cannot be read, nothing is garbage: what that artefact needs
is unknown.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from curate.schemas.artefacts import NOUNS, Manifest, Noun
from curate.schemas.errors import GateError
from curate.storage.catalog import publish
from curate.storage.catalog.location import FILE as CATALOG
from curate.storage.warehouse import atomic, lock, runs
from curate.storage.warehouse.places import ORIGINAL_CACHE, RECOVERED, ROOTS, TRASH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

DAY = 86400.0
PICTURED: tuple[Noun, ...] = ("selection", "clusters", "diagnosis")
"""Artefacts that pictures and reports are named after."""
_STOPPED = "garbage collection stopped and removed nothing"


@dataclass(frozen=True)
class Garbage:
    """One file or folder that can be removed."""

    path: Path
    why: str
    """The reason, one clause."""
    days: float
    """Age in days since it was finished, or last changed."""
    bytes: int


def find_garbage(warehouse: Warehouse, grace_days: float, now: float | None = None) -> list[Garbage]:
    """Return the garbage of a warehouse, artefacts first; changes nothing.

    Parameters
    ----------
    grace_days : float
        Younger files are kept: a run may be about to use them, and a reader may have an older catalog open.
    now : float, optional
        Seconds since the epoch; the current time by default.

    Raises
    ------
    GateError
        If a manifest or a run record cannot be read: the artefacts that it needs are unknown.
    """
    now = time.time() if now is None else now
    listings = {noun: warehouse.scan(noun) for noun in NOUNS}
    for problem in (problem for listing in listings.values() for problem in listing.problems):
        raise GateError(problem.blocks(_STOPPED))
    manifests = {noun: listing.manifests for noun, listing in listings.items()}
    needed = _needed(manifests, _recent(warehouse, grace_days, now))
    garbage = [one for noun in NOUNS for one in _artefacts(warehouse, noun, manifests[noun], needed, now)]
    garbage += _unfinished(warehouse, {noun: listing.unfinished for noun, listing in listings.items()}, now)
    garbage += _pictures(warehouse, {one.id for noun in PICTURED for one in manifests[noun]}, now)
    garbage += _models(warehouse, {one.id for one in manifests["recovery"]}, now)
    garbage += _original_caches(warehouse, now)
    garbage += _temporary(warehouse, now)
    return [one for one in garbage if one.days >= grace_days]


def collect(warehouse: Warehouse, grace_days: float) -> list[Garbage]:
    """Remove the garbage of a warehouse and return it.

    The order protects readers: under the lock of the run records garbage is renamed, then the catalog is published
    without it, then the renamed files are deleted. No run can start while files are renamed, and nothing is renamed
    during a run, which may already have decided to reuse an artefact.

    Raises
    ------
    GateError
        If a run is in progress, or a manifest or a run record cannot be read.
    WarehouseError
        If a file cannot be removed, or the run records stay locked for longer than the lock timeout.
    """
    folder = warehouse.root / runs.FOLDER
    with lock.locked(folder / ".lock", warehouse.lock_timeout, f"the list of runs in {folder}"):
        _refuse_if_running(warehouse, grace_days)
        garbage = find_garbage(warehouse, grace_days)
        trash = [_move_to_trash(one.path) for one in garbage]
    if (warehouse.root / CATALOG).exists():
        publish.publish(warehouse)
    # Also what an earlier collection renamed and did not delete, because it was killed.
    leftovers = [path for folder in ("*", ORIGINAL_CACHE) for path in warehouse.root.glob(f"{folder}/{TRASH}*")]
    for path in dict.fromkeys([*trash, *leftovers]):
        with atomic.disk_errors("remove", path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=False)
            else:
                path.unlink(missing_ok=True)
    return garbage


def _needed(manifests: dict[Noun, list[Manifest]], recent: set[str]) -> set[str]:
    """Return the ids of all artefacts reachable from a root or a recent run, by a graph search over inputs."""
    inputs = {one.id: set(one.inputs.values()) for listed in manifests.values() for one in listed}
    waiting = [one.id for noun in ROOTS for one in manifests[noun]] + sorted(recent)
    # Imported scores cannot be recomputed, and a selection by them does not list them among its inputs.
    waiting += [one.id for one in manifests["scores"] if "imported" in one.settings]
    needed: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one not in needed:
            needed.add(one)
            waiting.extend(inputs.get(one, ()))
    return needed


def _recent(warehouse: Warehouse, grace_days: float, now: float) -> set[str]:
    """Return the ids of artefacts built or reused by runs younger than the grace period."""
    young = [one for one in _run_records(warehouse) if _age(one.started, now) < grace_days]
    return {name.rpartition("/")[2] for one in young for name in one.artefacts}


def _run_records(warehouse: Warehouse) -> list[runs.RunRecord]:
    """Return all run records; one that cannot be read may be of a run that is using what looks like garbage."""
    records, problems = runs.read_runs(warehouse.root)
    if problems:
        raise GateError(f"{_STOPPED}: {problems[0]}")
    return records


def _refuse_if_running(warehouse: Warehouse, grace_days: float) -> None:
    for one in _run_records(warehouse):
        # A run on another host cannot be checked; it counts as dead after the grace period.
        if one.status == "running" and _age(one.started, time.time()) < max(grace_days, 1.0):
            raise GateError(
                f"run {one.id} ({one.command}) is in progress on {one.host}; wait for it, nothing was removed"
            )


def _artefacts(
    warehouse: Warehouse, noun: Noun, manifests: list[Manifest], needed: set[str], now: float
) -> Iterator[Garbage]:
    for one in manifests:
        if one.id not in needed:
            path = warehouse.folder(noun, one.id)
            yield Garbage(path, "not used by any selection or recent run", _age(one.created, now), _size(path))


def _unfinished(warehouse: Warehouse, ids: dict[Noun, list[str]], now: float) -> Iterator[Garbage]:
    for path in (warehouse.folder(noun, one) for noun in NOUNS for one in ids[noun]):
        yield Garbage(path, "unfinished artefact", _changed(path, now), _size(path))


def _pictures(warehouse: Warehouse, artefacts: set[str], now: float) -> Iterator[Garbage]:
    for folder in ("pictures", "reports"):
        for path in sorted((warehouse.root / folder).glob("[!.]*")):
            if path.is_file() and path.stem.partition("-")[0] not in artefacts:
                yield Garbage(path, "picture or report of a deleted artefact", _changed(path, now), _size(path))


def _models(warehouse: Warehouse, recoveries: set[str], now: float) -> Iterator[Garbage]:
    for folder, prefix, content in (("models", RECOVERED, "model"), ("jobs", "", "job folder")):
        for path in sorted((warehouse.root / folder).glob(f"{prefix}[!.]*")):
            if path.is_dir() and path.name.removeprefix(prefix) not in recoveries:
                why = f"{content} of an unfinished or deleted recovery"
                yield Garbage(path, why, _changed(path, now), _size(path))


def _original_caches(warehouse: Warehouse, now: float) -> Iterator[Garbage]:
    for path in sorted((warehouse.root / ORIGINAL_CACHE).glob("[!.]*")):
        why = "cached predictions of an original model, unused since"
        yield Garbage(path, why, _changed(path, now), _size(path))


def _temporary(warehouse: Warehouse, now: float) -> Iterator[Garbage]:
    for pattern in ("", "*/", "*/*/"):
        for path in sorted(warehouse.root.glob(f"{pattern}{atomic.TEMPORARY}*")):
            yield Garbage(path, "temporary file of a killed process", _changed(path, now), _size(path))


def _move_to_trash(path: Path) -> Path:
    """Rename a file or folder so that no reader sees it, and return its new path."""
    if path.name.startswith(atomic.TEMPORARY):
        return path
    target = path.with_name(TRASH + path.name)
    with atomic.disk_errors("remove", path):
        atomic.rename(path, target)
    return target


def _age(moment: str, now: float) -> float:
    """Return the days since an ISO 8601 time; 0 if it cannot be parsed, which keeps the artefact."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    return (now - (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()) / DAY


def _changed(path: Path, now: float) -> float:
    """Return the days since anything in a file or folder changed."""
    try:
        newest: float = max(one.stat().st_mtime for one in (path, *(path.rglob("*") if path.is_dir() else ())))
    except FileNotFoundError:  # another process is changing it right now
        return 0.0
    return (now - newest) / DAY


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    try:
        return sum(one.stat().st_size for one in files if one.is_file())
    except FileNotFoundError:
        return 0
