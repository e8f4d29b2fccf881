"""Part files of artefacts: their names, encoding to and from Parquet, and digests.

Equal rows give equal bytes regardless of their chunks in memory, so that digests compare content.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAIN = "part"
"""Name of an artefact's main table, and prefix of its files."""

_NAME = re.compile(r"(?P<table>[a-z][a-z_]*)-(?P<index>\d{5,})\.parquet")
_CHUNK = 1 << 18  # fits a processor cache


def file_name(table: str, index: int) -> str:
    """Return the file name of one part: ``part-00000.parquet``, ``terms-00000.parquet``."""
    name = f"{table}-{index:05d}.parquet"
    if index < 0 or not _NAME.fullmatch(name):
        raise ValueError(f"part {index} of table {table!r} cannot be a file name; use lower-case letters and _")
    return name


def parse_name(name: str) -> tuple[str, int] | None:
    """Return table and index from the file name of a part, or None for other names."""
    match = _NAME.fullmatch(name)
    return (match["table"], int(match["index"])) if match else None


def digest_bytes(data: bytes | memoryview | pa.Buffer) -> str:
    """Return the BLAKE2b digest (64 hexadecimal digits) of bytes."""
    return hashlib.blake2b(memoryview(data), digest_size=32).hexdigest()


def digest_file(path: Path) -> str:
    """Return the BLAKE2b digest (64 hexadecimal digits) of a file's bytes, read in chunks.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    state = hashlib.blake2b(digest_size=32)
    _read_into(state.update, path)
    return state.hexdigest()


def _read_into(update: Callable[[memoryview], object], path: Path) -> None:
    """Give the bytes of a file to `update`, through one buffer."""
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            update(view[:count])


def checksum_bytes(data: bytes | memoryview | pa.Buffer) -> str:
    """Return the XXH3 checksum (32 hexadecimal digits) of bytes: notices damage at a tenth of the cost of a digest."""
    return xxhash.xxh3_128_hexdigest(memoryview(data))


def checksum_file(path: Path) -> str:
    """Return the XXH3 checksum (32 hexadecimal digits) of a file's bytes, read in chunks.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    state = xxhash.xxh3_128()
    _read_into(state.update, path)
    return state.hexdigest()


def encode(data: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Buffer:
    """Return rows as the bytes of a Parquet file of one row group.

    Parameters
    ----------
    data : pa.Table or pa.RecordBatch
        Rows with the columns of `schema`, in its order.
    schema : pa.Schema
        Schema of the file; types are cast if that loses nothing.

    Raises
    ------
    ValueError
        If columns are missing, in another order, of another type, or null in a non-nullable field.
    WarehouseError
        If a column has more text than one record batch can hold (2 GiB).
    """
    # One batch and one row group, so that the bytes do not depend on how the caller chunked the rows.
    batch = one_batch(_conform(data, schema))
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_batches([batch]),
        sink,
        compression="zstd",
        row_group_size=max(1, batch.num_rows),
        version="2.6",
        write_page_checksum=True,
    )
    return sink.getvalue()


def _conform(data: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    table = data if isinstance(data, pa.Table) else pa.Table.from_batches([data])
    if table.schema.names != schema.names:
        raise ValueError(f"columns {table.schema.names} are not the schema's {schema.names}")
    # Metadata that a library attached (pandas' index, datasets' features) must not change the bytes.
    plain = schema.remove_metadata()
    return table.replace_schema_metadata(None) if table.schema.equals(plain) else table.cast(plain)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """Return a table as exactly one record batch, an empty one if it has no rows.

    Raises
    ------
    WarehouseError
        If a column has more text than one record batch can hold (2 GiB).
    """
    batches = table.combine_chunks().to_batches()
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=table.schema)
    if len(batches) > 1:
        raise WarehouseError(
            f"a part of {table.num_rows} rows holds more text than one part can (2 GiB); use fewer rows per part"
        )
    return batches[0]


def decode(source: Path | pa.Buffer, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of one part, with the requested columns in that order.

    Raises
    ------
    OSError, pa.ArrowInvalid
        If the file is missing or damaged, as its page checksums show; parts of version 0.1.0 have none.
    KeyError
        If a column does not exist.
    """
    reader = pa.BufferReader(source) if isinstance(source, pa.Buffer) else source
    with pq.ParquetFile(reader, page_checksum_verification=True) as file:
        if columns is None:
            return file.read()
        if missing := [name for name in columns if name not in file.schema_arrow.names]:
            raise KeyError(f"no column {missing[0]!r}; the columns are {', '.join(file.schema_arrow.names)}")
        return file.read(columns=list(columns)).select(list(columns))


def row_count(path: Path) -> int:
    """Return the number of rows of a part from its footer.

    Raises
    ------
    OSError, pa.ArrowInvalid
        If the file is missing or damaged.
    """
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def schema(path: Path) -> pa.Schema:
    """Return the columns of a part; reads its footer only.

    Raises
    ------
    OSError, pa.ArrowInvalid
        If the file is missing or damaged.
    """
    return pq.read_schema(path)
