"""Corpus files behind an address that fsspec opens: ``s3://``, ``gs://``, ``https://``, ``hf://`` and others.

A remote file has the part of the interface of `pathlib.Path` that the readers use. It is streamed: no copy is kept.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from curate.schemas.errors import InputError, MissingExtraError, first_line
from curate.storage.formats.rows import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsspec import AbstractFileSystem

T = TypeVar("T")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_BUFFER_BYTES = 2**18
_WEB = ("http", "https")
_CONTENT_TAGS = ("ETag", "etag", "md5Hash", "Content-MD5", "blob_id")
_TIMES = ("LastModified", "Last-Modified", "last_modified", "mtime", "updated")


def has_scheme(path: object) -> bool:
    """Return True for ``s3://bucket/key``, also where a `Path` has swallowed one of its slashes."""
    return bool(_SCHEME.match(str(path)))


def is_remote(address: str) -> bool:
    """Return True if `address` is opened by fsspec; ``file://`` is a local path."""
    return has_scheme(address) and not address.startswith("file:")


def local_path(address: str) -> str:
    """Return the path of a ``file://`` address; any other path unchanged."""
    return unquote(urlsplit(address).path) if address.startswith("file://") else address


def without_query(address: str) -> str:
    """Return an address without its query, which holds the signature of presigned addresses."""
    return address.partition("?")[0] if urlsplit(address).scheme in _WEB else address


@dataclass(frozen=True)
class RemoteFile:
    """One remote file."""

    filesystem: AbstractFileSystem
    key: str
    """Its name in the file system; the whole address for the web."""
    address: str
    """Its address for messages, without query."""

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """Last part of the address."""
        return PurePosixPath(unquote(urlsplit(self.address).path) or self.address).name or self.address

    @property
    def suffixes(self) -> list[str]:
        """Suffixes of the name."""
        return PurePosixPath(self.name).suffixes

    @cached_property
    def info(self) -> dict[str, Any]:
        """What the server says of the file."""
        return _attempt(self.address, lambda: dict(self.filesystem.info(self.key)))

    @property
    def size(self) -> int | None:
        """Size in bytes, None if the server does not say."""
        size = self.info.get("size")
        return size if isinstance(size, int) else None

    def identity(self) -> list[object]:
        """Return what changes with the content: a tag of it, or address, size and time.

        Raises
        ------
        InputError
            If the server gives neither.
        """
        tags = [self.info[name] for name in _CONTENT_TAGS if self.info.get(name)]
        times = [self.info[name] for name in _TIMES if self.info.get(name)]
        if tags:
            return [str(tags[0]), self.size]
        if times and self.size is not None:
            return [self.address, self.size, str(times[0])]
        raise InputError(
            f"{self.address} has neither an etag nor a size and a time, so a change of it could not be noticed; "
            "download it, and give the file"
        )

    def open(self, mode: str = "rb", *, pieces: bool = False) -> io.BufferedReader:
        """Return the file for reading from its start, or in any order with `pieces`."""
        # A web server may not give parts of files: one request for the whole file suits all of them.
        web = urlsplit(self.address).scheme in _WEB
        options = {"block_size": 0} if web and not pieces else {}
        file = _attempt(self.address, lambda: self.filesystem.open(self.key, mode, **options))
        return io.BufferedReader(_Checked(file, self.size), buffer_size=_BUFFER_BYTES)


CorpusFile = Path | RemoteFile
"""What the readers open."""


class _Checked(io.RawIOBase):
    """A remote file whose errors are `OSError`, and that must not end before its size."""

    def __init__(self, file: Any, size: int | None) -> None:
        self._file = file
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._file.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._file.read(len(buffer))
        except Exception as problem:
            # Each file system raises its own library's exceptions.
            if "range requests" in str(problem):
                raise OSError("the server does not give parts of files, which Parquet and Arrow need") from problem
            raise OSError(f"the connection broke after {self._at:,} bytes: {first_line(problem)}") from problem
        if not content and len(buffer) and self._size is not None and self._at < self._size:
            raise OSError(f"the connection ended after {self._at:,} of {self._size:,} bytes")
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def remote_files(address: str, wanted: Callable[[PurePosixPath], bool]) -> list[RemoteFile]:
    """Return the file at an address, or the wanted files below it, sorted by their names.

    Raises
    ------
    InputError
        If there is nothing there, or it cannot be reached.
    MissingExtraError
        If the package of the file system is not installed.
    """
    import fsspec

    try:
        filesystem, key = fsspec.core.url_to_fs(address)
    except ImportError as problem:
        scheme = address.partition(":")[0]
        raise MissingExtraError(f"reading {scheme}:// addresses", "remote") from problem
    except ValueError as problem:
        raise InputError(f"{without_query(address)} cannot be opened ({first_line(problem)})") from problem
    # File systems are shared in the process, and would go on listing what was there before.
    filesystem.invalidate_cache()
    if urlsplit(address).scheme in _WEB or not _attempt(address, lambda: filesystem.isdir(key)):
        return [RemoteFile(filesystem, key, without_query(address))]
    below: list[str] = _attempt(address, lambda: filesystem.find(key))
    names = {name: PurePosixPath(name.removeprefix(key.rstrip("/") + "/")) for name in below}
    root = address.rstrip("/")
    files = [RemoteFile(filesystem, one, f"{root}/{names[one]}") for one in sorted(below) if wanted(names[one])]
    if not files:
        raise InputError(f"there is no corpus file below {address}; check the address")
    return files


def _attempt(address: str, call: Callable[[], T]) -> T:
    """Return the result of a request, whose failure becomes one sentence."""
    try:
        return call()
    except FileNotFoundError as problem:
        raise InputError(f"there is no corpus {without_query(address)!r}; check the address") from problem
    except Exception as problem:
        # Each file system raises its own library's exceptions.
        reason = printable(first_line(problem))
        raise InputError(
            f"{without_query(address)} cannot be read ({reason}); check the address and access"
        ) from problem


def in_pieces(path: CorpusFile) -> Path | io.BufferedReader:
    """Return a file for a reader of columns, which jumps about in it."""
    return path if isinstance(path, Path) else path.open(pieces=True)


def damage(path: CorpusFile, problem: Exception, otherwise: str) -> str:
    """Return what is wrong with a file of columns: a broken connection is no damage of the file."""
    broken = isinstance(path, RemoteFile) and isinstance(problem, OSError) and str(problem).startswith("the ")
    return f"cannot be read ({first_line(problem)})" if broken else otherwise
