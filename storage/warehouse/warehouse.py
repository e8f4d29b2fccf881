"""The warehouse: a directory of immutable artefacts, ``<noun>/<artefact id>/part-*.parquet`` and ``manifest.json``.

An artefact exists once its manifest does; `curate.storage.warehouse.builder` writes it. Reading takes no lock and works
on a read-only file system; building holds the artefact's lock.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.artefact_tables import arrow_schema
from curate.schemas.errors import UsageError, WarehouseError, first_line
from curate.storage.warehouse import atomic, file_digests, integrity, listing, lock, part_file, runs, sequence
from curate.storage.warehouse.builder import MANIFEST, Builder, new_begin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from curate.schemas.artefacts import Manifest, Noun

LATEST = "latest"
PREVIOUS = "previous"

_log = logging.getLogger(__name__)


class Warehouse:
    """A directory of artefacts; created with its first artefact.

    Parameters
    ----------
    root : Path
        The directory.
    lock_timeout : float
        Longest wait, in seconds, for an artefact or the catalog that another process is writing.
    verify : bool
        Check the digest of each part the first time that this process reads it.

    Raises
    ------
    UsageError
        If DuckDB cannot open files in a directory of that name: it parses text after a ``?`` as options, and it needs
        UTF-8.
    """

    def __init__(self, root: Path, lock_timeout: float = 3600.0, verify: bool = True) -> None:
        self.root = Path(root).absolute()
        if "?" in str(self.root) or str(self.root) != str(self.root).encode("utf-8", "replace").decode():
            raise UsageError(f"DuckDB cannot work in the folder {str(self.root)!r}; choose a UTF-8 name without ?")
        self.lock_timeout = lock_timeout
        self.verify = verify
        self.digests = file_digests.FileDigests(
            self.root / file_digests.FOLDER / file_digests.FILE, lock_timeout=lock_timeout
        )

    def folder(self, noun: Noun, artefact_id: str) -> Path:
        """Return the folder of an artefact, whether it exists or not."""
        return self.root / noun / artefact_id

    def has(self, noun: Noun, artefact_id: str) -> bool:
        """Return True if an artefact is finished."""
        path = self.folder(noun, artefact_id) / MANIFEST
        with atomic.disk_errors("read", path):
            return path.is_file()

    def manifest(self, noun: Noun, artefact_id: str) -> Manifest:
        """Return the manifest of an artefact by its full id.

        Raises
        ------
        WarehouseError
            If it does not exist, or its manifest cannot be read.
        """
        if not self.has(noun, artefact_id):
            raise WarehouseError(f"{noun} {artefact_id} is not in {self.root}; run the stage that builds it again")
        return listing.read_manifest(self.folder(noun, artefact_id) / MANIFEST)

    def scan(self, noun: Noun) -> listing.Listing:
        """Return the artefacts of a noun: finished, unfinished, and unreadable ones.

        A caller that decides by absence or by age must check ``problems``, or use `list`.
        """
        return listing.list_artefacts(self.root, noun)

    def list_readable(self, noun: Noun) -> list[Manifest]:
        """Return the readable finished artefacts of a noun, newest first; each unreadable one is logged as a warning.

        Only for displays and caches, where a missing artefact costs time and changes no result.
        """
        result = self.scan(noun)
        for problem in result.problems:
            _log.warning("%s", problem)
        return result.manifests

    def list(self, noun: Noun) -> list[Manifest]:
        """Return all finished artefacts of a noun, newest first.

        Raises
        ------
        WarehouseError
            If one cannot be read: without it the list would be incomplete.
        """
        result = self.scan(noun)
        if result.problems:
            raise WarehouseError(result.problems[0].blocks(f"cannot list every {noun}"))
        return result.manifests

    def find(self, noun: Noun, prefix: str) -> Manifest:
        """Return the artefact whose id begins with `prefix`, ``"latest"``, or ``"previous"`` (the second latest).

        Raises
        ------
        UsageError
            If none or several match; the message lists them.
        WarehouseError
            If an unreadable artefact could be the match.
        """
        result = self.scan(noun)
        known = result.manifests
        if prefix in (LATEST, PREVIOUS):
            if result.problems:
                raise WarehouseError(result.problems[0].blocks(f"cannot tell which {noun} is the {prefix}"))
            return self._by_age(noun, known, prefix)
        if not known and not result.problems:
            raise self._no_artefact(noun)
        matches = [one for one in known if one.id.startswith(prefix)] if prefix else []
        # A full id is unambiguous even if it is a prefix of another folder's name, such as that of a backup.
        exact = [one for one in matches if one.id == prefix]
        for problem in result.problems:
            if not exact and (problem.artefact_id or prefix).startswith(prefix):
                raise WarehouseError(problem.blocks(f"cannot find {noun} {prefix!r}"))
        if len(exact or matches) == 1:
            return (exact or matches)[0]
        names = ", ".join(one.id for one in (matches or known)[:5])
        if matches:
            raise UsageError(f"{noun} {prefix!r} could be any of {names}; give more digits")
        newest = f"; the newest are {names}" if names else ""
        raise UsageError(f"no {noun} in {self.root} begins with {prefix!r}{newest}")

    def _by_age(self, noun: Noun, known: Sequence[Manifest], which: str) -> Manifest:
        if not known:
            raise self._no_artefact(noun)
        if which == PREVIOUS and len(known) == 1:
            raise UsageError(f"there is only one {noun} in {self.root}, {known[0].id}; create another first")
        return known[which == PREVIOUS]

    def _no_artefact(self, noun: Noun) -> UsageError:
        return UsageError(f"there is no {noun} in {self.root} yet; run `curate select` first")

    def read(
        self, noun: Noun, artefact_id: str, table: str = part_file.MAIN, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return one table of an artefact, its parts in order.

        Raises
        ------
        WarehouseError
            If the artefact does not exist, has no such table, or a part is missing or damaged.
        KeyError
            If a column does not exist.
        """
        batches = list(self.batches(noun, artefact_id, table, columns))
        if batches:
            return pa.Table.from_batches(batches)
        schema = arrow_schema(noun, table)
        if schema is None:
            raise WarehouseError(f"{noun} {artefact_id} has no table {table!r}")
        return schema.empty_table().select(list(columns) if columns is not None else schema.names)

    def batches(
        self, noun: Noun, artefact_id: str, table: str = part_file.MAIN, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield exactly one record batch per part, in order; only one part is in memory at a time.

        Raises
        ------
        WarehouseError
            If the artefact does not exist, or a part is missing or changed after it was written.
        KeyError
            If a column does not exist.
        """
        folder = self.folder(noun, artefact_id)
        for part in self.manifest(noun, artefact_id).parts:
            if part.table == table:
                if self.verify:
                    integrity.check_parts(folder, [part])
                yield part_file.one_batch(_read_part(folder / part.file, columns))

    @contextmanager
    def build(
        self,
        noun: Noun,
        artefact_id: str,
        version: int,
        inputs: dict[str, str],
        settings: dict[str, Any],
        layout: dict[str, Any],
    ) -> Iterator[Builder]:
        """Hold the lock of an artefact and build it, resuming a killed attempt.

        Parameters
        ----------
        noun, artefact_id, version, inputs, settings
            Arguments of `curate.schemas.artefacts.artefact_id` and its result; they go into the manifest.
        layout : dict
            How rows are split into parts (``{"rows_per_part": 512}``): not part of the id, but fixed for all attempts.

        Yields
        ------
        Builder
            Its ``done`` is True if the artefact exists already, perhaps built by another process meanwhile.

        Raises
        ------
        WarehouseError
            If the lock is not obtained in time, a file cannot be written, or a finished part is damaged.
        UsageError
            If an unfinished attempt had another layout; the changed key is named.
        """
        folder = self.folder(noun, artefact_id)
        begin = new_begin(noun, artefact_id, version, inputs, settings, layout)
        if self.has(noun, artefact_id):
            yield Builder(folder, begin, done=True)
            return
        name = folder.with_name(f".{artefact_id}.lock")
        with lock.locked(name, self.lock_timeout, f"{noun} {artefact_id} in {self.root}"):
            # Looked up again under the lock: another process may have finished it while this one waited.
            done = self.has(noun, artefact_id)
            yield Builder(folder, begin, done, lambda: sequence.next_number(self.root, self.lock_timeout))

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a named lock of this warehouse for the block, for data other than artefacts.

        Raises
        ------
        WarehouseError
            If another process holds it for longer than the lock timeout.
        """
        return lock.locked(self.root / f".{name}.lock", self.lock_timeout, f"{name} in {self.root}")

    def start_run(self, command: str, settings: dict[str, Any]) -> runs.ActiveRun:
        """Write the record of a command that starts now, with its resolved settings.

        Raises
        ------
        WarehouseError
            If it cannot be written.
        """
        return runs.start(self.root, command, settings, self.lock_timeout)


def verify(warehouse: Warehouse, noun: Noun, artefact_id: str) -> list[str]:
    """Digest every part again and return a message for each that is missing or changed.

    Raises
    ------
    WarehouseError
        If the artefact does not exist, or its manifest cannot be read.
    """
    folder = warehouse.folder(noun, artefact_id)
    parts = warehouse.manifest(noun, artefact_id).parts
    problems = (integrity.problem_of(folder, part, thorough=True) for part in parts)
    return [problem for problem in problems if problem]


def _read_part(path: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        return part_file.decode(path, columns)
    except FileNotFoundError as error:
        raise WarehouseError(f"{path} is missing; {integrity.REPAIR}") from error
    except (OSError, ValueError) as error:  # also names of columns that are not UTF-8
        raise WarehouseError(f"{path} cannot be read ({first_line(error)}); {integrity.REPAIR}") from error
