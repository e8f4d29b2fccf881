"""Reads Arrow IPC files (Feather version 2) and Arrow streams, the storage format of Hugging Face datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from curate.schemas.errors import InputError, first_line
from curate.storage.formats.containers.cells import rows_of
from curate.storage.formats.rows import DamagedFile, RawRows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_MAGIC = b"ARROW1"
FEATHER_1_MAGIC = b"FEA1"


def read(path: Path, source: str) -> RawRows:
    """Yield the rows of an Arrow IPC file or stream.

    Raises
    ------
    InputError
        If it is in the obsolete first version of Feather.
    DamagedFile
        If the file is truncated or corrupt.
    """
    number = 1
    try:
        with pa.memory_map(str(path)) as file:
            for batch in _batches(file, path):
                yield from rows_of(batch, source, number)
                number += batch.num_rows
    except pa.ArrowNotImplementedError as problem:
        raise InputError(f"{path} cannot be read: {first_line(problem)}; write it again without that") from problem
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise DamagedFile("is a damaged Arrow file") from problem


def _batches(file: pa.MemoryMappedFile, path: Path) -> Iterator[pa.RecordBatch]:
    magic = file.read(len(FILE_MAGIC))
    file.seek(0)
    if magic.startswith(FEATHER_1_MAGIC):
        raise InputError(f"{path} is in Feather version 1, which is not supported; write it again as Parquet")
    if magic == FILE_MAGIC:
        reader = pa.ipc.open_file(file)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
    else:
        yield from pa.ipc.open_stream(file)
