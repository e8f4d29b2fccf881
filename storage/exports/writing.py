"""Writes export records to files atomically, and counts the rows written and left out."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import InputError
from curate.storage.exports.rows import KeptRow, UnsupportedRow
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


@dataclass
class ExportCounts:
    """Counts of rows written and left out, filled while `convert` is consumed."""

    rows: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    """Example id to the reason why it was left out."""

    def convert(self, rows: Iterable[KeptRow], shape: Callable[[KeptRow], Any]) -> Iterator[Any]:
        """Yield the record of every row that `shape` can represent.

        Raises
        ------
        InputError
            At the end, if there was none.
        """
        for row in rows:
            try:
                record = shape(row)
            except UnsupportedRow as unfit:
                self.left_out[row.example_id] = str(unfit)
                continue
            self.rows += 1
            self.licences.update(row.licences)
            self.sources.update(row.sources)
            yield record
        if not self.rows:
            reason = next(iter(self.left_out.values()), "the selection keeps no rows")
            raise InputError(
                f"none of the {len(self.left_out)} kept rows can be written in this format: {reason}; "
                "choose --to sharegpt"
            )


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write one JSON object per line."""
    with atomic.open_atomic(path) as file:
        for record in records:
            file.write(_json(record) + b"\n")


def write_array(path: Path, records: Iterable[Any]) -> None:
    """Write one JSON array, one element per line."""
    with atomic.open_atomic(path) as file:
        separator = b"[\n"
        for record in records:
            file.write(separator + _json(record))
            separator = b",\n"
        file.write(b"\n]\n")


def write_document(path: Path, value: Any) -> None:
    """Write one indented JSON document."""
    atomic.write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def _json(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()
