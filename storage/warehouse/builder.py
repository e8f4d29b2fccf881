"""Builds one artefact part by part and writes its manifest; a killed build resumes after its last finished part.

The folder of an artefact holds ``begin.json`` (identity and layout of the build), the parts, ``parts.jsonl`` (one line
per finished part: digest, size, attempt, seconds) and, written last, ``manifest.json``.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.artefacts import Manifest, Noun, PartFile
from curate.schemas.errors import UsageError, WarehouseError
from curate.schemas.peak_memory import peak_memory
from curate.storage.warehouse import atomic, part_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = "manifest.json"
BEGIN = "begin.json"
JOURNAL = "parts.jsonl"

_LIBRARIES = (
    "curate-llm", "numpy", "scipy", "scikit-learn", "faiss-cpu", "polars", "pyarrow", "datasets", "duckdb", "torch",
    "transformers", "tokenizers", "safetensors", "sentence-transformers", "accelerate", "peft",
)  # fmt: skip


class Builder:
    """Writes the parts of one artefact, then its manifest. Created by `Warehouse.build`, which holds the lock.

    Parameters
    ----------
    folder : Path
        Folder of the artefact.
    begin : dict
        ``noun``, ``id``, ``version``, ``inputs``, ``settings`` and ``layout`` of the artefact.
    done : bool
        Whether the artefact exists already; then there is nothing to write.
    number : callable, optional
        Returns the artefact's place in the sequence of the warehouse.
    """

    def __init__(
        self, folder: Path, begin: dict[str, Any], done: bool = False, number: Callable[[], int] = lambda: 0
    ) -> None:
        self.folder = folder
        self.done = done
        self._begin = begin
        self._number = number
        self._started = time.monotonic()
        self._parts: dict[tuple[str, int], PartFile] = {}
        self._seconds: dict[int, float] = {}
        if not done:
            self._resume()

    def finished(self, table: str = part_file.MAIN) -> int:
        """Return the number of consecutive finished parts of a table from part 0: the index to resume at."""
        count = 0
        while (table, count) in self._parts:
            count += 1
        return count

    def has(self, table: str, index: int) -> bool:
        """Return True if a part is finished; parallel workers finish their parts out of order."""
        return (table, index) in self._parts

    def rows(self, table: str = part_file.MAIN) -> int:
        """Return the number of rows in the finished parts of a table."""
        return sum(part.rows for (name, _), part in self._parts.items() if name == table)

    def write(self, table: str, index: int, data: pa.Table | pa.RecordBatch, schema: pa.Schema) -> PartFile:
        """Write one part atomically.

        A resumed stage with several tables may write a finished part again; equal rows leave its file untouched.

        Parameters
        ----------
        table : str
            ``"part"`` for the main table, else a side table's name.
        index : int
            Index of the part in its table, from 0.
        data : pa.Table or pa.RecordBatch
            Rows of the part.
        schema : pa.Schema
            The table's schema, from `curate.schemas`.

        Raises
        ------
        ValueError
            If the rows do not fit the schema.
        WarehouseError
            If it cannot be written, or a column has more text than one part can hold (2 GiB).
        """
        self._refuse_if_done()
        path = self.folder / part_file.file_name(table, index)
        content = part_file.encode(data, schema)
        digest, checksum = part_file.digest_bytes(content), part_file.checksum_bytes(content)
        part = PartFile(table, path.name, data.num_rows, digest, checksum)
        if self._parts.get((table, index)) == part and part_file.digest_file(path) == part.digest:
            return part
        atomic.write_bytes(path, memoryview(content))
        return self._record(part, index, content.size)

    def read_part(self, table: str, index: int) -> pa.Table:
        """Return the rows of a finished part, from this attempt or an earlier one.

        Raises
        ------
        WarehouseError
            If it is not finished, or its content has changed.
        """
        part = self._parts.get((table, index))
        if part is None:
            raise WarehouseError(f"part {index} of table {table!r} is not finished in {self.folder}")
        path = self.folder / part.file
        with atomic.disk_errors("read", path):
            content = path.read_bytes()
        if part_file.digest_bytes(content) != part.digest:
            raise WarehouseError(f"{path} changed after it was written; delete it and run the same command again")
        return part_file.decode(pa.py_buffer(content))

    def finish(self, facts: dict[str, Any], worker_memory: int = 0) -> Manifest:
        """Write the manifest, which makes the artefact exist for readers.

        Parameters
        ----------
        facts : dict
            JSON-able results of the stage: counts, warnings, model digests.
        worker_memory : int
            Peak memory, in bytes, of the other processes that worked on the artefact.

        Raises
        ------
        WarehouseError
            If it cannot be written.
        """
        self._refuse_if_done()
        for table in {table for table, _ in self._parts}:
            if (gap := self.finished(table)) < sum(name == table for name, _ in self._parts):
                raise RuntimeError(
                    f"part {gap} of table {table!r} is missing in {self.folder}; write it before finishing"
                )
        begun = self._begin
        manifest = Manifest(
            noun=begun["noun"],
            id=begun["id"],
            version=begun["version"],
            inputs=begun["inputs"],
            settings=begun["settings"],
            parts=tuple(self._parts[key] for key in sorted(self._parts)),
            facts=facts,
            versions=dict(library_versions()),
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            seconds=round(sum(self._seconds.values()) + time.monotonic() - self._started, 3),
            peak_memory_mb=round((peak_memory() + worker_memory) / 2**20, 1),
            sequence=self._number(),
        )
        atomic.write_bytes(self.folder / MANIFEST, manifest.to_json().encode("utf-8", "surrogatepass"))
        self.done = True
        return manifest

    def _refuse_if_done(self) -> None:
        if self.done:
            raise RuntimeError(f"{self.folder} is finished and immutable; check builder.done first")

    def _resume(self) -> None:
        atomic.make_folder(self.folder)
        atomic.remove_temporary_files(self.folder)
        begin, journal = self.folder / BEGIN, self.folder / JOURNAL
        parts = {key: path for path in self.folder.iterdir() if (key := part_file.parse_name(path.name))}
        if begin.exists():
            _refuse_changes(read_json(begin), self._begin, self.folder)
        elif parts:
            raise WarehouseError(f"{self.folder} has parts but no {BEGIN}; delete the folder and run again")
        else:
            atomic.write_bytes(begin, json.dumps(self._begin, indent=2, sort_keys=True).encode())
        lines = _journal(journal)
        self._attempt = 1 + max((line["attempt"] for line in lines), default=0)
        known = {line["file"]: line for line in lines}
        for line in lines:
            self._seconds[line["attempt"]] = line["seconds"]
        for (table, index), path in sorted(parts.items()):
            self._adopt(table, index, path, known.get(path.name))

    def _adopt(self, table: str, index: int, path: Path, line: dict[str, Any] | None) -> None:
        with atomic.disk_errors("read", path):
            size = path.stat().st_size
        if line is None:  # killed between the rename of the part and its journal line: the part is complete
            try:
                rows, digest = part_file.row_count(path), part_file.digest_file(path)
                part = PartFile(table, path.name, rows, digest, part_file.checksum_file(path))
            except (OSError, pa.ArrowInvalid) as error:
                raise WarehouseError(f"{path} is damaged; delete it and run the same command again") from error
            self._record(part, index, size)
        elif line["bytes"] != size:
            raise WarehouseError(
                f"{path} has {size} bytes instead of {line['bytes']}; delete it and run the same command again"
            )
        else:
            self._parts[table, index] = PartFile(
                table, path.name, line["rows"], line["digest"], line.get("checksum", "")
            )

    def _record(self, part: PartFile, index: int, size: int) -> PartFile:
        line = {
            "attempt": self._attempt,
            "bytes": size,
            "checksum": part.checksum,
            "digest": part.digest,
            "file": part.file,
            "rows": part.rows,
            "seconds": round(time.monotonic() - self._started, 3),
        }
        atomic.append_line(self.folder / JOURNAL, json.dumps(line))
        self._parts[part.table, index] = part
        return part


@cache
def library_versions() -> tuple[tuple[str, str], ...]:
    """Return name and version of Python and of the installed libraries that affect results; imports none of them."""
    versions = [("python", platform.python_version())]
    for name in _LIBRARIES:
        try:
            versions.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(versions)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of the warehouse.

    Raises
    ------
    WarehouseError
        If it cannot be read or is not a JSON object.
    """
    with atomic.disk_errors("read", path):
        text = path.read_bytes()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise WarehouseError(f"{path} is damaged ({error}); delete it and run the same command again") from error
    if not isinstance(value, dict):
        raise WarehouseError(f"{path} is damaged (not a JSON object); delete it and run the same command again")
    return value


def new_begin(
    noun: Noun, artefact_id: str, version: int, inputs: dict[str, str], settings: dict[str, Any], layout: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``begin.json`` after a JSON round trip, so that it compares equal to what is read back."""
    begin = {"noun": noun, "id": artefact_id, "version": version, "inputs": inputs, "settings": settings}
    plain: dict[str, Any] = json.loads(json.dumps({**begin, "layout": layout}))
    return plain


def _refuse_changes(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raise a UsageError that names the first key whose value differs from the unfinished build's."""
    old, new = _flat(before), _flat(now)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            raise UsageError(
                f"{folder} was started with {key} = {old.get(key)!r} and cannot be resumed with {new.get(key)!r}; "
                "use the former value, or delete that folder to start again"
            )


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}": inner}
    return flat


def _journal(path: Path) -> list[dict[str, Any]]:
    """Return the journal's lines; an incomplete last line is dropped, since its part is found on disk."""
    if not path.exists():
        return []
    with atomic.disk_errors("read", path):
        text = path.read_bytes()
    complete = text[: text.rfind(b"\n") + 1]
    if complete != text:
        # Rewritten now: the next appended line would otherwise continue the incomplete one.
        atomic.write_bytes(path, complete)
    return [json.loads(line) for line in complete.splitlines()]
