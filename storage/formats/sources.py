"""Corpus sources: resolves a path or hub name to its files or splits, names them, and digests their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from curate.schemas.artefacts import digest
from curate.schemas.errors import InputError
from curate.storage.formats.containers import dataset_directory, hub
from curate.storage.formats.containers.detect import files_of, is_wanted, reader_of
from curate.storage.formats.containers.remote import (
    CorpusFile,
    is_remote,
    local_path,
    remote_files,
    without_query,
)
from curate.storage.formats.rows import RawRows, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, or one split of a dataset."""

    name: str
    """Its name in the tables."""
    address: str
    """Its path or hub address, for error messages."""
    rows: RawRows


def source_name(path: str | Path) -> str:
    """Return the name of a source in the tables: the file's or folder's name without path, or the hub address."""
    address = str(path)
    if address.startswith(hub.PREFIX):
        return printable(address.removeprefix(hub.PREFIX))
    if is_remote(address):
        return printable(PurePosixPath(unquote(urlsplit(address).path)).name or without_query(address))
    return printable(Path(local_path(address)).expanduser().absolute().name)


def source_names(paths: Sequence[str | Path]) -> list[str]:
    """Return the names of several sources: those of equal name have as many folders before it as tell them apart."""
    names = [source_name(path) for path in paths]
    places = [
        without_query(str(path)) if is_address(path) else str(Path(local_path(str(path))).expanduser().absolute())
        for path in paths
    ]
    for name in {name for name in names if names.count(name) > 1}:
        same = [index for index, one in enumerate(names) if one == name]
        distinct = len({places[index] for index in same})
        longest = max(len(Path(places[index]).parts) for index in same)
        for depth in range(1, longest + 1):
            longer = {index: printable("/".join(Path(places[index]).parts[-depth:])) for index in same}
            if len(set(longer.values())) == distinct:
                break
        names = [longer.get(index, one) for index, one in enumerate(names)]
    return names


def is_address(path: str | Path) -> bool:
    """Return True if a source is no path: a dataset on the hub, or a remote file or folder."""
    return str(path).startswith(hub.PREFIX) or is_remote(str(path))


def existing_path(path: str | Path) -> Path:
    """Return the path of a file or folder, ``~`` expanded.

    Raises
    ------
    InputError
        If it does not exist, or is a pipe or device.
    """
    expanded = Path(local_path(str(path))).expanduser()
    if not expanded.exists():
        raise InputError(f"there is no corpus {str(path)!r}; check the path, or write hub:owner/name for a hub dataset")
    if not (expanded.is_file() or expanded.is_dir()):
        # Sources are read more than once: to detect the shape, for the digest, and to resume.
        raise InputError(f"{expanded} is not a regular file; save the data to a file first")
    return expanded


def source_files(address: str, name: str) -> Iterator[SourceFile]:
    """Yield the files or splits of a source, without empty files; their names begin with `name`.

    Raises
    ------
    InputError
        If a file has an unknown format, or a folder contains no corpus file.
    """
    if address.startswith(hub.PREFIX):
        for split, rows in hub.read(address, name):
            yield SourceFile(split, address, rows)
        return
    if is_remote(address):
        files = remote_files(address, is_wanted)
        root = without_query(address).rstrip("/")
        for remote in files:
            inside = remote.address.removeprefix(root)
            yield from _file(remote, printable(name + inside))
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
    """Return the digest of a source's content; the corpus id depends on it, and not on the source's path.

    For a file, of its bytes; for a folder, of the relative names and bytes of the files that are read; for a hub
    dataset, of its name and the commit of the revision (a request to the hub, unless the revision is a commit); for
    remote files, of their names and etags, or addresses, sizes and times where the server gives no etag.

    Parameters
    ----------
    path : str or Path
        File, folder or ``hub:name``.
    digest_file : callable
        Digest of one file's bytes; `curate.storage.warehouse.file_digests.FileDigests.file` caches them.

    Raises
    ------
    InputError
        If there is no such source, or it cannot be read.
    """
    address = str(path)
    if address.startswith(hub.PREFIX):
        name, _ = hub.parse(address)
        return digest(["hub", name, hub.commit(address)])
    if is_remote(address):
        read = [[file.name, file.identity()] for file in remote_files(address, is_wanted)]
        return digest(["remote", read])
    root = existing_path(path)
    if root.is_file():
        return digest(["file", digest_file(root)])
    if dataset_directory.is_dataset(root):
        files = sorted(file for file in root.rglob("*") if file.is_file() and not file.name.startswith("."))
    else:
        files = files_of(root)
    return digest(["folder", [[file.relative_to(root).as_posix(), digest_file(file)] for file in files]])


def _file(path: CorpusFile, name: str) -> Iterator[SourceFile]:
    if reader := reader_of(path):
        yield SourceFile(name, str(path), reader(path, name))
