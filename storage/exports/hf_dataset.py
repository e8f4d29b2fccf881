"""Export as a folder for ``datasets.load_from_disk``: chat messages with the sources and licences of each row.

Arguments of tool calls and tools are JSON text: as structs, Arrow would add the keys of all rows to each row.
"""

from __future__ import annotations

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


def write(folder: Path, name: str, records: Iterable[Any]) -> list[Path]:
    """Write the data set under a temporary name and rename it; return its folder.

    Raises
    ------
    UsageError
        If the folder exists already: a folder cannot be replaced atomically.
    """
    import datasets

    target = folder / name
    if target.exists():
        raise UsageError(f"{target} exists already; delete it, or pass another --name")
    remaining = iter(records)
    tables = []
    while batch := list(islice(remaining, BATCH_ROWS)):
        tables.append(pa.Table.from_pylist(batch, schema=SCHEMA))
    unfinished = atomic.temporary_path(target)
    with atomic.disk_errors("write", target):
        try:
            bars = datasets.is_progress_bar_enabled()
            datasets.disable_progress_bars()
            datasets.Dataset(pa.concat_tables(tables)).save_to_disk(unfinished)
            if bars:
                datasets.enable_progress_bars()
            atomic.rename(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return [target]
