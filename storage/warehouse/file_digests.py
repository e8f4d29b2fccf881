"""Cached digests of the user's files: model weights, tokenizers, corpora.

A file counts as unchanged while its path, size, modification time and inode are the same; ``verify=True`` ignores the
cache and reads every file.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

from curate.schemas.artefacts import digest
from curate.schemas.errors import InputError, WarehouseError
from curate.storage.warehouse import atomic, lock
from curate.storage.warehouse.part_file import digest_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOLDER = "cache"
FILE = "file_digests.json"

LOCK_TIMEOUT = 60.0
"""Longest wait, in seconds, for another process that updates the cache."""

_log = logging.getLogger(__name__)


class FileDigests:
    """Computes digests of files and caches them in a JSON file.

    Parameters
    ----------
    cache : Path
        The JSON file; may be missing or read-only.
    verify : bool
        Ignore the cache and read every file.
    lock_timeout : float
        Longest wait, in seconds, for another process that updates the cache; at most `LOCK_TIMEOUT`.
    """

    def __init__(self, cache: Path, verify: bool = False, lock_timeout: float = LOCK_TIMEOUT) -> None:
        self.cache = cache
        self.verify = verify
        self.lock_timeout = min(lock_timeout, LOCK_TIMEOUT)

    def file(self, path: Path) -> str:
        """Return the BLAKE2b digest (64 hexadecimal digits) of one file's bytes; its name does not matter.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        return self._digests([path])[0]

    def files(self, paths: Iterable[Path]) -> str:
        """Return one digest (16 hexadecimal digits) of the names (without folders) and bytes of several files.

        The order of `paths` does not matter.

        Raises
        ------
        InputError
            If one cannot be read.
        """
        given = list(paths)
        return digest(sorted(zip((path.name for path in given), self._digests(given), strict=True)))

    def folder(self, path: Path) -> str:
        """Return one digest (16 hexadecimal digits) of the relative names and bytes of all files under a folder.

        Hidden files and folders are skipped.

        Raises
        ------
        InputError
            If it is not a folder, or a file in it cannot be read.
        """
        if not path.is_dir():
            raise InputError(f"{path} is not a folder; give an existing folder")
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        shown = [one for one in inside if not any(name.startswith(".") for name in one.relative_to(path).parts)]
        names = [one.relative_to(path).as_posix() for one in shown]
        return digest(sorted(zip(names, self._digests(shown), strict=True)))

    def _digests(self, paths: list[Path]) -> list[str]:
        known = {} if self.verify else self._load()
        fresh: dict[str, dict[str, Any]] = {}
        digests = []
        for path in paths:
            name = str(path.absolute())
            mark = _mark(path)
            entry = known.get(name, {})
            if {key: entry.get(key) for key in mark} != mark:
                entry = {**mark, "digest": _read(path)}
                # A file that changed while it was read has a digest of neither state, so that is not cached.
                if _mark(path) == mark:
                    fresh[name] = entry
            digests.append(str(entry["digest"]))
        if fresh:
            self._save(fresh)
        return digests

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            value = json.loads(self.cache.read_bytes())
        except (OSError, ValueError):  # missing or damaged: every file is read again
            return {}
        entries = value.items() if isinstance(value, dict) else ()
        return {name: entry for name, entry in entries if isinstance(entry, dict) and "digest" in entry}

    def _save(self, fresh: dict[str, dict[str, Any]]) -> None:
        folder = self.cache.parent
        try:
            with lock.locked(folder / ".lock", self.lock_timeout, f"the cache of digests in {folder}"):
                atomic.remove_temporary_files(folder)
                text = json.dumps({**self._load(), **fresh}, indent=1, sort_keys=True)
                atomic.write_bytes(self.cache, text.encode())
        except WarehouseError as error:  # only costs the time of reading the files again
            _log.info("digests of files are not cached: %s", error)


def _mark(path: Path) -> dict[str, int]:
    try:
        facts = os.stat(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing file") from error
    return {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "inode": facts.st_ino}


def _read(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing file") from error
