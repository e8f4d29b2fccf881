"""Measures the zip archives in which torch keeps weights before they are read: what they would inflate to.

torch stores its records without compression. A few megabytes of another archive can inflate to any number of
gigabytes, and a compressed record that is mapped into memory would be taken for the weights themselves.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MOST_INFLATED = 50
"""Inflated size over size. Dense weights compress to little less than one, nine tenths of zeros to about eight; a bomb
has up to a thousand."""
SMALL = 64 * 2**20
"""Bytes below which an archive is read whatever its ratio."""


def check_inflated(path: Path) -> None:
    """Refuse an archive that would inflate to far more than its own size; anything else than an archive passes.

    Raises
    ------
    InputError
        Naming both sizes.
    """
    if not zipfile.is_zipfile(path):
        return
    inflated, size = sum(record.file_size for record in _records(path)), path.stat().st_size
    if inflated > max(MOST_INFLATED * size, SMALL):
        raise InputError(
            f"weights file {str(path)!r} of {size / 1e6:,.1f} MB would inflate to {inflated / 1e6:,.0f} MB, which no "
            "file of weights does; download it again from a source that you trust"
        )


def is_mappable(path: Path) -> bool:
    """Return whether a file is an archive whose records can be mapped into memory: all of them without compression."""
    if not zipfile.is_zipfile(path):
        return False
    return all(record.compress_type == zipfile.ZIP_STORED for record in _records(path))


def _records(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except zipfile.BadZipFile:  # torch has the better sentence for it
        return []
