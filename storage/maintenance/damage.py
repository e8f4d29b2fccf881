"""Finds damaged artefacts, and moves their damaged files aside so that a stage can make them again."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.schemas.artefacts import Manifest, Noun
from curate.schemas.errors import WarehouseError
from curate.storage.warehouse import atomic, integrity, lock
from curate.storage.warehouse.builder import BEGIN, JOURNAL, MANIFEST, read_json
from curate.storage.warehouse.places import TRASH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

_IDENTITY = ("noun", "id", "version", "inputs", "settings")

Moved = list[tuple["Path", "Path"]]
"""New and old path of every file that was moved aside."""


@dataclass(frozen=True)
class Damage:
    """One damaged artefact."""

    noun: Noun
    id: str
    identity: Manifest
    """Its manifest; if that is damaged, one without parts made from ``begin.json``."""
    files: tuple[str, ...]
    """Names of the damaged files."""
    problems: tuple[str, ...]


def find_damage(warehouse: Warehouse, noun: Noun) -> Iterator[Damage]:
    """Yield every artefact of a noun whose manifest or parts are damaged; reads all parts."""
    listing = warehouse.scan(noun)
    for problem in listing.problems:
        identity = _begun(warehouse, noun, problem.artefact_id or "")
        if identity is not None:
            yield Damage(noun, identity.id, identity, (MANIFEST,), (str(problem),))
    for manifest in listing.manifests:
        folder = warehouse.folder(noun, manifest.id)
        checked = {part.file: integrity.problem_of(folder, part, thorough=True) for part in manifest.parts}
        damaged = {name: problem for name, problem in checked.items() if problem}
        if damaged:
            yield Damage(noun, manifest.id, manifest, tuple(damaged), tuple(damaged.values()))


def _begun(warehouse: Warehouse, noun: Noun, artefact_id: str) -> Manifest | None:
    """Return what ``begin.json`` says of an artefact, None if it says nothing that can be used."""
    try:
        begun = read_json(warehouse.folder(noun, artefact_id) / BEGIN)
        identity = Manifest(**{name: begun[name] for name in _IDENTITY}, parts=())
    except (WarehouseError, KeyError):
        return None
    return identity if (identity.noun, identity.id) == (noun, artefact_id) else None


def set_aside(warehouse: Warehouse, damage: Damage) -> Moved:
    """Move the damaged files and the manifest of an artefact aside, so that it counts as unfinished.

    They stay beside its folder until the next garbage collection. The journal of the parts goes too: it may be damaged
    itself, and the digests of the parts that stay are made anew.

    Raises
    ------
    WarehouseError
        If a file cannot be moved, or another process is building the artefact.
    """
    folder = warehouse.folder(damage.noun, damage.id)
    held = folder.with_name(f".{damage.id}.lock")
    aside = folder.with_name(f"{TRASH}{damage.id}")  # not inside: a build removes temporary files from its folder
    moved: Moved = []
    with lock.locked(held, warehouse.lock_timeout, f"{damage.noun} {damage.id}"), atomic.disk_errors("repair", folder):
        aside.mkdir(exist_ok=True)
        for path in (folder / name for name in dict.fromkeys([MANIFEST, JOURNAL, *damage.files])):
            if os.path.lexists(path):
                atomic.rename(path, aside / path.name)
                moved.append((aside / path.name, path))
    return moved


def restore(moved: Moved) -> None:
    """Move back what `set_aside` has moved, the manifest last; files that were made again meanwhile stay."""
    for aside, path in reversed(moved):
        with contextlib.suppress(OSError):
            if not path.exists() or path.name in (MANIFEST, JOURNAL):
                atomic.rename(aside, path)
