"""Reads the bytes of plain, gzip, Zstandard, bzip2 or xz files, told apart by their first bytes.

A file that ends inside a compressed frame raises, after all complete bytes have been yielded.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import zstandard

from curate.schemas.errors import InputError, first_line
from curate.storage.formats.rows import DamagedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from curate.storage.formats.containers.remote import CorpusFile

CHUNK_BYTES = 2**18
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
"""First numbers of Zstandard frames that hold no data, which parallel compressors write (RFC 8878, 3.1.2)."""
_LONGEST_WINDOW = 2**31
"""Window of ``zstd --long=31``, in bytes; the library's own limit is 128 MiB."""
_REFUSED = {b"PK\x03\x04": "zip", b"7z\xbc\xaf": "7-zip"}


class _Decompressor(Protocol):
    """Common interface of the decompression objects."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _zstd() -> _Decompressor:
    return zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW).decompressobj()


@dataclass(frozen=True)
class _Compression:
    magic: bytes
    start: Callable[[], _Decompressor]
    error: type[Exception]


_COMPRESSIONS = {
    "gzip": _Compression(b"\x1f\x8b", _gzip, zlib.error),
    "zstd": _Compression(b"\x28\xb5\x2f\xfd", _zstd, zstandard.ZstdError),
    "bzip2": _Compression(b"BZh", bz2.BZ2Decompressor, OSError),
    "xz": _Compression(b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), lzma.LZMAError),
}


def compression(path: CorpusFile) -> str | None:
    """Return ``"gzip"``, ``"zstd"``, ``"bzip2"``, ``"xz"`` or None, by the first bytes of the file.

    Raises
    ------
    InputError
        If its compression is not supported, or it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError as problem:
        raise InputError(
            f"{path} cannot be read ({problem.strerror or first_line(problem)}); check the path and its permissions"
        ) from problem
    for start, name in _REFUSED.items():
        if magic.startswith(start):
            raise InputError(
                f"{path} is compressed with {name}, which is not supported; unpack it, or use gzip or zstd"
            )
    if int.from_bytes(magic[:4], "little") in _SKIPPABLE:
        return "zstd"
    return next((name for name, kind in _COMPRESSIONS.items() if magic.startswith(kind.magic)), None)


def byte_chunks(path: CorpusFile) -> Iterator[bytes]:
    """Yield the decompressed content of `path` in chunks, in bounded memory.

    Raises
    ------
    DamagedFile
        If a compressed file is truncated or corrupt, or cannot be read; everything before is yielded first.
    """
    kind = compression(path)
    raw = _raw_chunks(path)
    yield from raw if kind is None else _decompressed(raw, kind)


def peek(path: CorpusFile, size: int) -> bytes:
    """Return the first `size` decompressed bytes (fewer at the end of the file, or before a damage).

    Raises
    ------
    DamagedFile
        If nothing precedes the damage: a file that cannot be read is no empty file.
    """
    head = b""
    try:
        for chunk in byte_chunks(path):
            head += chunk
            if len(head) >= size:
                break
    except DamagedFile:
        # Else the reader reports the damage; it knows how many rows precede it.
        if not head:
            raise
    return head[:size]


def _raw_chunks(path: CorpusFile) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as problem:
        raise DamagedFile(f"cannot be read ({problem.strerror or first_line(problem)})") from problem


def _decompressed(raw: Iterator[bytes], kind: str) -> Iterator[bytes]:
    """Yield the content of one or more concatenated frames."""
    compressed = _COMPRESSIONS[kind]
    frame: _Decompressor | None = None
    for chunk in raw:
        data = chunk
        while data:
            if frame is None and not data.strip(b"\0"):
                break  # zero padding after the last frame, as tape and block tools write it
            frame = frame or compressed.start()
            try:
                content = frame.decompress(data)
            except (compressed.error, EOFError) as problem:
                raise DamagedFile(f"is a corrupt {kind} file") from problem
            if content:
                yield content
            if not frame.eof:
                break
            data, frame = frame.unused_data, None
    if frame is not None:
        raise DamagedFile(f"is a truncated {kind} file")
