"""What a warehouse no longer needs, and removing it without hurting a run or a reader.

Kept is every selection, recovery and evaluation with everything that it was made from, imported scores, and whatever a
run of the last days made or found done. The rest, if it is older than the grace period, is garbage: artefacts that
nobody uses, attempts that were never finished, temporary files of killed processes, and what belongs to selections and
recoveries that are gone: pictures, reports, models. So is what an original model left for ``--sequential`` or as a
teacher, once nothing has used it for that long: it can be made again.
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
from curate.storage.warehouse import atomic, lock, runs
from curate.storage.warehouse.places import RECOVERED, ROOTS, TEACHERS, TRASH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

LOCK_SECONDS = 60.0
DAY = 86400.0
_STOPPED = "garbage collection stopped and removed nothing"


@dataclass(frozen=True)
class Garbage:
    """One file or folder that can go."""

    path: Path
    why: str
    """One clause for a person."""
    days: float
    """Days since it was finished, or last changed."""
    bytes: int


def find(warehouse: Warehouse, grace_days: float, now: float | None = None) -> list[Garbage]:
    """Return what could be removed, artefacts first; changes nothing.

    Parameters
    ----------
    grace_days : float
        Younger things are kept, since a run may be about to use them and a reader may have an older catalog open.
    now : float, optional
        Seconds since the epoch; the present where not given.

    Raises
    ------
    GateError
        If a manifest or a run record cannot be read: what it needs is unknown, so nothing can be judged.
    """
    now = time.time() if now is None else now
    listings = {noun: warehouse.scan(noun) for noun in NOUNS}
    for problem in (problem for listing in listings.values() for problem in listing.problems):
        raise GateError(problem.blocks(_STOPPED))
    made = {noun: listing.manifests for noun, listing in listings.items()}
    needed = _needed(made, _recent(warehouse, grace_days, now))
    found = [one for noun in NOUNS for one in _artefacts(warehouse, noun, made[noun], needed, now)]
    found += _unfinished(warehouse, {noun: listing.unfinished for noun, listing in listings.items()}, now)
    found += _pictures(warehouse, {one.id for one in made["selection"]}, now)
    found += _models(warehouse, {one.id for one in made["recovery"]}, now)
    found += _teachers(warehouse, now)
    found += _temporary(warehouse, now)
    return [one for one in found if one.days >= grace_days]


def collect(warehouse: Warehouse, grace_days: float) -> list[Garbage]:
    """Remove what `find` finds and return it; the catalog is published again before any file is gone.

    No run can start while things are moved aside, and nothing is moved while a run is under way: it may have found done
    what nobody else uses.

    Raises
    ------
    GateError
        If a run is under way, or a manifest or a run record cannot be read.
    WarehouseError
        If the disk refuses, or runs are noted for longer than a minute.
    """
    folder = warehouse.root / runs.FOLDER
    with lock.locked(folder / ".lock", LOCK_SECONDS, f"the list of runs in {folder}"):
        _refuse_if_running(warehouse, grace_days)
        found = find(warehouse, grace_days)
        trash = [_aside(one.path) for one in found]
    if (warehouse.root / publish.FILE).exists():
        publish.publish(warehouse)
    left = [path for folder in ("*", TEACHERS) for path in warehouse.root.glob(f"{folder}/{TRASH}*")]
    for path in dict.fromkeys([*trash, *left]):
        with atomic.reporting("remove", path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=False)
            else:
                path.unlink(missing_ok=True)
    return found


def _needed(made: dict[Noun, list[Manifest]], recent: set[str]) -> set[str]:
    """Return the ids of all artefacts that a root or a recent run leads to."""
    inputs = {one.id: set(one.inputs.values()) for listed in made.values() for one in listed}
    waiting = [one.id for noun in ROOTS for one in made[noun]] + sorted(recent)
    # Numbers of the user's own cannot be made again, and a selection by them does not name them among its inputs.
    waiting += [one.id for one in made["scores"] if "imported" in one.settings]
    needed: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one not in needed:
            needed.add(one)
            waiting.extend(inputs.get(one, ()))
    return needed


def _recent(warehouse: Warehouse, grace_days: float, now: float) -> set[str]:
    """Return the ids of what runs made or found done that are younger than the grace period."""
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
        # A run on another host that never ended is taken for dead after the grace period.
        if one.status == "running" and _age(one.started, time.time()) < max(grace_days, 1.0):
            raise GateError(
                f"run {one.id} ({one.command}) is under way on {one.host}; wait for it, nothing was removed"
            )


def _artefacts(
    warehouse: Warehouse, noun: Noun, made: list[Manifest], needed: set[str], now: float
) -> Iterator[Garbage]:
    for one in made:
        if one.id not in needed:
            path = warehouse.folder(noun, one.id)
            yield Garbage(path, "no selection and no recent run uses it", _age(one.created, now), _size(path))


def _unfinished(warehouse: Warehouse, ids: dict[Noun, list[str]], now: float) -> Iterator[Garbage]:
    for path in (warehouse.folder(noun, one) for noun in NOUNS for one in ids[noun]):
        yield Garbage(path, "it was begun and never finished", _changed(path, now), _size(path))


def _pictures(warehouse: Warehouse, selections: set[str], now: float) -> Iterator[Garbage]:
    for folder in ("pictures", "reports"):
        for path in sorted((warehouse.root / folder).glob("[!.]*")):
            if path.is_file() and path.stem.partition("-")[0] not in selections:
                yield Garbage(path, "it shows a selection that is gone", _changed(path, now), _size(path))


def _models(warehouse: Warehouse, recoveries: set[str], now: float) -> Iterator[Garbage]:
    for folder, prefix, what in (("models", RECOVERED, "the model"), ("jobs", "", "the work")):
        for path in sorted((warehouse.root / folder).glob(f"{prefix}[!.]*")):
            if path.is_dir() and path.name.removeprefix(prefix) not in recoveries:
                why = f"it is {what} of a recovery that was never finished, or is gone"
                yield Garbage(path, why, _changed(path, now), _size(path))


def _teachers(warehouse: Warehouse, now: float) -> Iterator[Garbage]:
    for path in sorted((warehouse.root / TEACHERS).glob("[!.]*")):
        why = "an original model left it, and nothing has used it since"
        yield Garbage(path, why, _changed(path, now), _size(path))


def _temporary(warehouse: Warehouse, now: float) -> Iterator[Garbage]:
    for pattern in ("", "*/", "*/*/"):
        for path in sorted(warehouse.root.glob(f"{pattern}{atomic.TEMPORARY}*")):
            yield Garbage(path, "a process left it behind when it was killed", _changed(path, now), _size(path))


def _aside(path: Path) -> Path:
    """Rename a file or folder so that nobody finds it any more, and return its new name."""
    if path.name.startswith(atomic.TEMPORARY):
        return path
    target = path.with_name(TRASH + path.name)
    with atomic.reporting("remove", path):
        atomic.rename(path, target)
    return target


def _age(moment: str, now: float) -> float:
    """Return the days since an ISO 8601 time; one that cannot be read is taken for the present."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    return (now - (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()) / DAY


def _changed(path: Path, now: float) -> float:
    """Return the days since anything in a file or folder changed."""
    try:
        newest: float = max(one.stat().st_mtime for one in (path, *(path.rglob("*") if path.is_dir() else ())))
    except FileNotFoundError:  # whoever was writing it is at work
        return 0.0
    return (now - newest) / DAY


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    try:
        return sum(one.stat().st_size for one in files if one.is_file())
    except FileNotFoundError:
        return 0
