"""Reads Parquet files, a thousand rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from curate.storage.formats.containers.cells import BATCH_ROWS, rows_of
from curate.storage.formats.rows import DamagedFile, RawRows

if TYPE_CHECKING:
    from pathlib import Path

_BUFFER_BYTES = 2**20


def read(path: Path, source: str) -> RawRows:
    """Yield the rows of a Parquet file.

    Raises
    ------
    DamagedFile
        If the file is truncated or corrupt.
    """
    number = 1
    try:
        # With pre-buffering a whole row group is read at once, and many files have a single one.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from rows_of(batch, source, number)
                number += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise DamagedFile("is a damaged Parquet file") from problem
