"""Export as a folder for ``datasets.load_from_disk``: chat messages with the sources and licences of each row.

Arguments of tool calls and tools are JSON text: as structs, Arrow would add the keys of all rows to each row.
"""

from __future__ import annotations

import errno
import shutil
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.errors import UsageError
from curate.storage.exports.shapes import chat_messages, check_supervised
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from curate.storage.exports.rows import KeptRow
    from curate.storage.exports.writing import Destination

_CALL = pa.struct([("type", pa.string()), ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())]))])
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(_CALL))])
SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("rank", pa.int32()),
        ("messages", pa.list_(_MESSAGE)),
        ("tools", pa.string()),
        ("sources", pa.list_(pa.string())),
        ("licences", pa.list_(pa.string())),
    ]
)
BATCH_ROWS = 4096


def record(row: KeptRow) -> dict[str, Any]:
    """Return one row of `SCHEMA`."""
    check_supervised(row)
    return {
        "example_id": row.example_id,
        "rank": row.rank,
        "messages": chat_messages(row.turns, arguments_as_text=True),
        "tools": row.tools,
        "sources": list(row.sources),
        "licences": list(row.licences),
    }


def write(to: Destination, records: Iterable[Any]) -> list[Path]:
    """Write the data set in the scratch folder and rename it; return its folder.

    Raises
    ------
    UsageError
        If the folder exists already with other rows: a folder cannot be replaced atomically.
    """
    import datasets

    target = to.folder / to.name
    remaining = iter(records)
    tables = []
    while batch := list(islice(remaining, BATCH_ROWS)):
        tables.append(pa.Table.from_pylist(batch, schema=SCHEMA))
    rows = pa.concat_tables(tables)
    if target.exists():
        if not _holds(target, rows):
            raise UsageError(f"{target} exists already; delete it, or pass another --name")
        return [target]
    unfinished = atomic.temporary_path(to.scratch / to.name)
    with atomic.disk_errors("write", target):
        try:
            bars = datasets.is_progress_bar_enabled()
            datasets.disable_progress_bars()
            datasets.Dataset(rows).save_to_disk(unfinished)
            if bars:
                datasets.enable_progress_bars()
            _move(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return [target]


def _holds(folder: Path, rows: pa.Table) -> bool:
    """Return whether a folder is this data set already, as after a kill before the summary was written."""
    import datasets

    try:
        saved = datasets.load_from_disk(str(folder)).data.table
    except (OSError, ValueError, AttributeError):
        return False
    return bool(saved.equals(rows))


def _move(unfinished: Path, target: Path) -> None:
    """Rename a folder; on another file system copy it to a temporary name beside the target first."""
    try:
        atomic.rename(unfinished, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = atomic.temporary_path(target)
        try:
            shutil.copytree(unfinished, beside)
            atomic.rename(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
