"""Checks parts against the checksums in their manifest, so that a changed file is an error and never other rows.

A flipped bit in Parquet data often decodes to other values without an error. Page checksums notice most of that in the
pages that are read; the checksum of the file also covers the footer, the other pages, and a part that was replaced by
another. Parts of version 0.1.0 have no checksum but a digest only, which takes ten times as long.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from curate.schemas.errors import WarehouseError
from curate.storage.warehouse.part_file import checksum_file, digest_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.schemas.artefacts import PartFile

REPAIR = "run `curate doctor --repair`"

_Mark = tuple[int, int, int, int]

_checked: dict[_Mark, str] = {}
"""Checksum of every file that this process has read in full, by device, inode, modification time and size."""


def check_parts(folder: Path, parts: Sequence[PartFile]) -> None:
    """Raise an error unless each part has the checksum of its manifest; reads a file once per process.

    Parameters
    ----------
    folder : Path
        Folder of the artefact.
    parts : sequence of PartFile
        From its manifest.

    Raises
    ------
    WarehouseError
        If a part is missing or cannot be read, or its bytes are not those that were written.
    """
    if len(parts) == 1:
        problems = [problem_of(folder, parts[0])]
    else:  # hashing releases the interpreter lock, so that threads share the parts
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            problems = list(pool.map(lambda part: problem_of(folder, part), parts))
    for problem in problems:
        if problem:
            raise WarehouseError(problem)


def problem_of(folder: Path, part: PartFile, thorough: bool = False) -> str | None:
    """Return a sentence if a part is missing or changed, else None.

    Parameters
    ----------
    thorough : bool
        Compare the digest, and read the file even if this process has read it before.
    """
    path = folder / part.file
    try:
        same = digest_file(path) == part.digest if thorough else _checked_before(path, part)
    except FileNotFoundError:
        return f"{path} is missing; {REPAIR}"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror or error}); {REPAIR}"
    return None if same else f"{path} changed after it was written; {REPAIR}"


def _checked_before(path: Path, part: PartFile) -> bool:
    facts = os.stat(path)
    mark = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
    if mark not in _checked:
        _checked[mark] = checksum_file(path) if part.checksum else digest_file(path)
    return _checked[mark] == (part.checksum or part.digest)
