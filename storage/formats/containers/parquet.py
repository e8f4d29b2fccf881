"""Reads Parquet files, a thousand rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from curate.schemas.errors import InputError, first_line
from curate.storage.formats.containers.cells import BATCH_ROWS, rows_of
from curate.storage.formats.containers.remote import damage, in_pieces
from curate.storage.formats.rows import DamagedFile, RawRows

if TYPE_CHECKING:
    from curate.storage.formats.containers.remote import CorpusFile

_BUFFER_BYTES = 2**20


def read(path: CorpusFile, source: str) -> RawRows:
    """Yield the rows of a Parquet file.

    Raises
    ------
    InputError
        If it needs a feature of Parquet that is not supported.
    DamagedFile
        If the file is truncated or corrupt.
    """
    number = 1
    try:
        # With pre-buffering a whole row group is read at once, and many files have a single one.
        with pq.ParquetFile(in_pieces(path), pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            # One at a time: pyarrow cannot join nested dictionaries and views of several row groups.
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]):
                    yield from rows_of(batch, source, number)
                    number += batch.num_rows
    except pa.ArrowNotImplementedError as problem:
        raise InputError(f"{path} cannot be read: {first_line(problem)}; write it again without that") from problem
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise DamagedFile(damage(path, problem, "is a damaged Parquet file")) from problem
