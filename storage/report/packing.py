"""Packs the arrays of a report's rows into one compressed text; `templates/unpack.js` reads it.

Every array is split into planes of bytes, the most significant first, since high bytes repeat and low ones do not; all
planes are compressed as one zlib stream and written in base 85.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_TO_SCRIPT = bytes.maketrans(b"<>&", b",.:")
"""Characters that markup could give a meaning to become three that base 85 does not use."""


def packed(parts: Iterable[bytes]) -> str:
    """Return bytes compressed and as text in which no character has a meaning in HTML."""
    return base64.b85encode(zlib.compress(b"".join(parts), 9)).translate(_TO_SCRIPT).decode("ascii")


def packed_lines(lines: Iterable[str], most: int) -> tuple[str, int]:
    """Return as many of the first `lines` as fit packed into `most` characters, and their number.

    Parameters
    ----------
    lines : iterable of str
        Without line ends.
    most : int
        Characters of base 85.
    """
    taken: list[bytes] = []
    compressor, size = zlib.compressobj(9), 0
    for line in lines:
        taken.append(line.encode("utf-8", "replace") + b"\n")
        size += len(compressor.compress(taken[-1]))
        if len(taken) % 64 == 0:
            # A flush costs a few bytes, so the estimate is a little above the size of one stream.
            size += len(compressor.flush(zlib.Z_SYNC_FLUSH))
            if size > most:
                break
    text = packed(taken)
    while len(text) > max(most, 0) and taken:
        del taken[-max(1, len(taken) // 50) :]
        text = packed(taken) if taken else ""
    return text, len(taken)


def bytes_of(values: NDArray[Any]) -> bytes:
    """Return numbers of 0–255, shape (n,), as n bytes."""
    return values.astype(np.uint8).tobytes()


def pairs_of(values: NDArray[Any]) -> bytes:
    """Return numbers of 0–65535, shape (n,), as n high and n low bytes."""
    return bytes_of(values >> 8) + bytes_of(values & 255)


def twelve_bits_of(unit: NDArray[np.float64]) -> bytes:
    """Return positions in [0, 1], shape (n,), as n high bytes and ⌈n/2⌉ bytes with two low halves each, NaN as 0."""
    values = np.round(np.nan_to_num(unit) * 4095).astype(np.uint16)
    low = np.append(values & 15, np.zeros(len(values) % 2, np.uint16))
    return bytes_of(values >> 4) + bytes_of(low[::2] << 4 | low[1::2])


def ids_of(ids: Sequence[str]) -> bytes:
    """Return sorted ids of equally many hexadecimal digits, an even number, as planes of their differences.

    Random ids of 20 digits take 10 bytes; the differences of n sorted ones take log₂(n!)/n bits less: 1.8 bytes each
    at n = 50,000.
    """
    if not len(ids):
        return b""
    n_bytes = len(ids[0]) // 2
    numbers = [0, *(int(one, 16) for one in ids)]
    steps = b"".join((b - a).to_bytes(n_bytes, "big") for a, b in zip(numbers, numbers[1:], strict=False))
    return np.frombuffer(steps, np.uint8).reshape(len(ids), n_bytes).T.tobytes()
