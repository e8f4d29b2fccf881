"""What a corpus source consists of: files, splits, their names in the tables, and the digest of their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.schemas.artefacts import digest
from curate.schemas.errors import InputError
from curate.storage.formats.containers import dataset_directory, hub
from curate.storage.formats.containers.detect import files_of, reader_of
from curate.storage.formats.rows import RawRows, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, or one split of a dataset."""

    name: str
    """Its name in the tables."""
    address: str
    """Where it stands, for errors."""
    rows: RawRows


def source_name(path: str | Path) -> str:
    """Return the name of a source in the tables: of the file or folder without its path, or the hub's address."""
    address = str(path)
    if address.startswith(hub.PREFIX):
        return printable(address.removeprefix(hub.PREFIX))
    return printable(Path(address).expanduser().absolute().name)


def existing_path(path: str | Path) -> Path:
    """Return the path of a file or folder.

    Raises
    ------
    InputError
        If there is none, or it is a pipe or device.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise InputError(f"there is no corpus {str(path)!r}; check the path, or write hub:owner/name for a hub dataset")
    if not (found.is_file() or found.is_dir()):
        # Sources are read more than once: to detect the shape, for the digest, and to resume.
        raise InputError(f"{found} is no regular file; save the data to a file first")
    return found


def source_files(address: str) -> Iterator[SourceFile]:
    """Yield the files or splits of a source, empty files left out.

    Raises
    ------
    InputError
        If one is in no container that is known, or a folder holds no corpus file.
    """
    name = source_name(address)
    if address.startswith(hub.PREFIX):
        for split, rows in hub.read(address, name):
            yield SourceFile(split, address, rows)
        return
    path = existing_path(address)
    if dataset_directory.is_dataset(path):
        for split, rows in dataset_directory.read(path, name):
            yield SourceFile(split, address, rows)
    elif path.is_dir():
        for file in files_of(path):
            yield from _file(file, printable(f"{name}/{file.relative_to(path).as_posix()}"))
    else:
        yield from _file(path, name)


def source_digest(path: str | Path, digest_file: Callable[[Path], str]) -> str:
    """Return the digest of a source's content, wherever it lies: it goes into the id of the corpus made of it.

    Of a file its bytes; of a folder the relative names and the bytes of the files that are read; of a hub dataset its
    name and the commit that the revision stands for (which asks the hub, unless the revision is a commit).

    Parameters
    ----------
    path : str or Path
        File, folder or ``hub:name``.
    digest_file : callable
        Digest of one file's bytes; `curate.storage.warehouse.file_digests.FileDigests.file` remembers what it read.

    Raises
    ------
    InputError
        If there is no such source, or it cannot be read.
    """
    address = str(path)
    if address.startswith(hub.PREFIX):
        name, _ = hub.parse(address)
        return digest(["hub", name, hub.commit(address)])
    found = existing_path(path)
    if found.is_file():
        return digest(["file", digest_file(found)])
    if dataset_directory.is_dataset(found):
        files = sorted(file for file in found.rglob("*") if file.is_file() and not file.name.startswith("."))
    else:
        files = files_of(found)
    return digest(["folder", [[file.relative_to(found).as_posix(), digest_file(file)] for file in files]])


def _file(path: Path, name: str) -> Iterator[SourceFile]:
    if reader := reader_of(path):
        yield SourceFile(name, str(path), reader(path, name))
