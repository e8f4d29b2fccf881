"""Lists the artefacts of one noun: finished ones, unfinished ones, and those whose manifest cannot be read.

An unreadable artefact is never left out silently. Otherwise garbage collection would remove what the artefact needs,
and "the latest" could be an older one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from curate.schemas.artefacts import Manifest, Noun
from curate.schemas.errors import WarehouseError
from curate.storage.warehouse.builder import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path


class UnreadableArtefact(WarehouseError):
    """A manifest, or the folder of a noun, exists and cannot be read.

    Parameters
    ----------
    path : Path
        The manifest, or the folder of the noun.
    reason : str
        Clause without subject: ``"is damaged"``.
    repair : str
        What the user can do.
    """

    def __init__(self, path: Path, reason: str, repair: str) -> None:
        super().__init__(f"{path} {reason}; {repair}")
        self.path = path
        self.reason = reason

    @property
    def artefact_id(self) -> str | None:
        """Id of the artefact by the name of its folder; None if the folder of the noun itself cannot be read."""
        return self.path.parent.name if self.path.name == MANIFEST else None

    def blocks(self, refusal: str) -> str:
        """Return the message of an operation that needs a complete listing; `refusal` names it."""
        remove = f" or remove the folder {self.path.parent}" if self.artefact_id else ""
        return f"{refusal}: {self.path} {self.reason}; see `curate doctor`, then repair it{remove}"


@dataclass(frozen=True)
class Listing:
    """The artefacts of one noun."""

    manifests: list[Manifest]
    """Readable manifests of finished artefacts, newest first."""
    unfinished: list[str]
    """Ids of artefacts without a manifest: being built, or to be resumed."""
    problems: list[UnreadableArtefact]
    """Artefacts that exist and cannot be read; the listing is complete only if there are none."""
    marks: dict[str, str] = field(default_factory=dict)
    """Mark of each artefact by its id, from before its manifest was read."""
    unchanged: list[str] = field(default_factory=list)
    """Ids of artefacts that have the mark given to `list_artefacts`; their manifests were not read."""


def list_artefacts(
    root: Path, noun: Noun, known: Mapping[str, str | None] | None = None, trusted: Container[str] = ()
) -> Listing:
    """Return the artefacts of a noun in the warehouse at `root`; raises nothing for an unreadable one.

    Parameters
    ----------
    known : mapping of str to str, optional
        Marks of artefacts whose manifests were read before; those that still have them are only named.
    trusted : container of str
        Ids of artefacts that are left out.
    """
    folder = root / noun
    listing = Listing([], [], [])
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in trusted)
    except OSError as error:
        # A dangling link, such as to a disk that is not mounted, raises FileNotFoundError too; it is not an empty noun.
        if os.path.lexists(folder) or not isinstance(error, FileNotFoundError | NotADirectoryError):
            repair = "check its permissions and the disk"
            listing.problems.append(UnreadableArtefact(folder, f"cannot be read ({error.strerror or error})", repair))
        return listing
    for name in names:
        mark = _mark(f"{folder}/{name}")
        if mark is not None and known and known.get(name) == mark:
            listing.unchanged.append(name)
            continue
        if mark is not None:
            listing.marks[name] = mark
        _add(listing, folder / name)
    listing.manifests.sort(key=lambda one: one.age_key, reverse=True)
    return listing


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a file.

    Raises
    ------
    UnreadableArtefact
        If it cannot be read, is damaged, or is the manifest of another artefact than its folder's.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
        raise UnreadableArtefact(path, reason, "check its permissions and the disk") from error
    try:
        manifest = Manifest.from_json(content.decode("utf-8", "surrogatepass"))
        _check_types(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        repair = "restore it from a backup, or delete it and run the command that made the artefact again"
        raise UnreadableArtefact(path, "is damaged", repair) from error
    if manifest.id != path.parent.name or manifest.noun != path.parent.parent.name:
        reason = f"belongs to {manifest.noun} {manifest.id}"
        raise UnreadableArtefact(path, reason, "move its folder back, or delete it")
    return manifest


def _mark(folder: str) -> str | None:
    """Return what changes when a file of an artefact is added, removed or replaced; None without a manifest."""
    try:
        inside, manifest = os.stat(folder), os.stat(f"{folder}/{MANIFEST}")
    except OSError:
        return None
    return f"{inside.st_ino} {inside.st_mtime_ns} {manifest.st_ino} {manifest.st_mtime_ns} {manifest.st_size}"


def _add(listing: Listing, folder: Path) -> None:
    """Add what is in one folder of a noun to the listing."""
    path = folder / MANIFEST
    problem = _read_into(listing, path)
    # Written by a process that finished the artefact between the first attempt and the check: read it again.
    if problem and isinstance(problem.__cause__, FileNotFoundError) and path.is_file():
        problem = _read_into(listing, path)
    if problem is None or isinstance(problem.__cause__, NotADirectoryError):  # read, or a stray file in the noun
        return
    # Only a manifest that is certainly absent makes an artefact unfinished; any doubt makes it a problem.
    if not isinstance(problem.__cause__, FileNotFoundError) or os.path.lexists(path):
        listing.problems.append(problem)
    elif folder.is_dir():
        listing.unfinished.append(folder.name)
    elif os.path.lexists(folder):  # a link to a folder that does not exist, perhaps on a disk that is not mounted
        listing.problems.append(problem)
    # Otherwise another process removed the folder after it was listed.


def _read_into(listing: Listing, path: Path) -> UnreadableArtefact | None:
    """Add the manifest in a file to the listing, or return the reason why it cannot be read."""
    try:
        listing.manifests.append(read_manifest(path))
    except UnreadableArtefact as problem:
        return problem
    return None


def _check_types(manifest: Manifest) -> None:
    """Raise TypeError where a field has not the type that readers and garbage collection rely on."""
    mappings = (manifest.inputs, manifest.settings, manifest.facts)
    texts = (manifest.noun, manifest.id, manifest.created, *manifest.inputs.values())
    if not all(isinstance(one, dict) for one in mappings) or not all(isinstance(one, str) for one in texts):
        raise TypeError("a field of the manifest has the wrong type")
    if not isinstance(manifest.sequence, int):
        raise TypeError("a field of the manifest has the wrong type")
