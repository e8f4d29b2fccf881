"""Records to files that are there whole or not at all, and a count of what was written and what was left out."""

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
    """What became of the rows, counted while they pass."""

    rows: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    """Example id to the reason."""

    def convert(self, rows: Iterable[KeptRow], shape: Callable[[KeptRow], Any]) -> Iterator[Any]:
        """Yield the record of every row that fits `shape`.

        Raises
        ------
        InputError
            At the end, if none did.
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
            reason = next(iter(self.left_out.values()), "nothing was kept")
            raise InputError(
                f"none of the {len(self.left_out)} kept rows can be written like that: {reason}; choose --to sharegpt"
            )


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write one JSON object a line."""
    with atomic.open_atomic(path) as file:
        for record in records:
            file.write(_json(record) + b"\n")


def write_array(path: Path, records: Iterable[Any]) -> None:
    """Write one JSON array, an element a line."""
    with atomic.open_atomic(path) as file:
        joint = b"[\n"
        for record in records:
            file.write(joint + _json(record))
            joint = b",\n"
        file.write(b"\n]\n")


def write_document(path: Path, value: Any) -> None:
    """Write one indented JSON document."""
    atomic.write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def _json(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()
