"""Reads the bytes of plain, gzip or Zstandard files; compression is detected from the first bytes, not the name.

A file that ends inside a compressed frame raises, after all complete bytes have been yielded.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import zstandard

from curate.schemas.errors import InputError
from curate.storage.formats.rows import DamagedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK_BYTES = 2**18
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_REFUSED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"7z\xbc\xaf": "7-zip"}


class _Decompressor(Protocol):
    """Common interface of zlib's and zstandard's decompression objects."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _zstd() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


def compression(path: Path) -> str | None:
    """Return ``"gzip"``, ``"zstd"`` or None, by the first bytes of the file.

    Raises
    ------
    InputError
        If its compression is not supported, or it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError as problem:
        raise InputError(f"{path} cannot be read ({problem.strerror}); check the path and its permissions") from problem
    for start, name in _REFUSED.items():
        if magic.startswith(start):
            raise InputError(
                f"{path} is compressed with {name}, which is not supported; unpack it, or use gzip or zstd"
            )
    return "gzip" if magic.startswith(_GZIP) else "zstd" if magic.startswith(_ZSTD) else None


def byte_chunks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed content of `path` in chunks, in bounded memory.

    Raises
    ------
    DamagedFile
        If a compressed file is truncated or corrupt, or cannot be read; everything before is yielded first.
    """
    kind = compression(path)
    raw = _raw_chunks(path)
    if kind is None:
        yield from raw
    elif kind == "gzip":
        yield from _decompressed(raw, _gzip, zlib.error, kind)
    else:
        yield from _decompressed(raw, _zstd, zstandard.ZstdError, kind)


def peek(path: Path, size: int) -> bytes:
    """Return the first `size` decompressed bytes (fewer at the end of the file, or before a damage)."""
    head = b""
    try:
        for chunk in byte_chunks(path):
            head += chunk
            if len(head) >= size:
                break
    except DamagedFile:
        # The reader reports the damage; it knows how many rows precede it.
        pass
    return head[:size]


def _raw_chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as problem:
        raise DamagedFile(f"cannot be read ({problem.strerror})") from problem


def _decompressed(
    raw: Iterator[bytes], start: Callable[[], _Decompressor], error: type[Exception], kind: str
) -> Iterator[bytes]:
    """Yield the content of one or more concatenated frames."""
    frame: _Decompressor | None = None
    for chunk in raw:
        data = chunk
        while data:
            if frame is None and not data.strip(b"\0"):
                break  # zero padding after the last frame, as tape and block tools write it
            frame = frame or start()
            try:
                content = frame.decompress(data)
            except error as problem:
                raise DamagedFile(f"is a corrupt {kind} file") from problem
            if content:
                yield content
            if not frame.eof:
                break
            data, frame = frame.unused_data, None
    if frame is not None:
        raise DamagedFile(f"is a truncated {kind} file")
