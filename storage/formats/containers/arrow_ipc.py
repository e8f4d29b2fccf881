"""Reads Arrow IPC files (Feather version 2) and Arrow streams, the storage format of Hugging Face datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from curate.schemas.errors import InputError, first_line
from curate.storage.formats.containers.cells import rows_of
from curate.storage.formats.containers.remote import damage, in_pieces
from curate.storage.formats.rows import DamagedFile, RawRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.storage.formats.containers.remote import CorpusFile

FILE_MAGIC = b"ARROW1"
FEATHER_1_MAGIC = b"FEA1"


def read(path: CorpusFile, source: str) -> RawRows:
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
        with _opened(path) as file:
            for batch in _batches(file, path):
                yield from rows_of(batch, source, number)
                number += batch.num_rows
    except pa.ArrowNotImplementedError as problem:
        raise InputError(f"{path} cannot be read: {first_line(problem)}; write it again without that") from problem
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise DamagedFile(damage(path, problem, "is a damaged Arrow file")) from problem


def _opened(path: CorpusFile) -> pa.NativeFile:
    source = in_pieces(path)
    return pa.memory_map(str(path)) if source is path else pa.PythonFile(source, mode="r")


def _batches(file: pa.NativeFile, path: CorpusFile) -> Iterator[pa.RecordBatch]:
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
