"""Detects the file format of a corpus file from its first bytes, then its name; lists the corpus files of a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from curate.schemas.errors import InputError
from curate.storage.formats.containers import arrow_ipc, delimited, json_array, json_lines, parquet
from curate.storage.formats.containers.compressed import compression, peek
from curate.storage.formats.containers.dataset_directory import STATE_FILES
from curate.storage.formats.containers.json_lines import json_object
from curate.storage.formats.containers.text_lines import text_of
from curate.storage.formats.rows import RawRows, RowProblem

Reader = Callable[[Path, str], RawRows]

_PEEK_BYTES = 2**20
_PACKED = (".gz", ".gzip", ".zst", ".zstd")
_DELIMITED = (".csv", ".tsv")
_JSON = (".json", ".jsonl", ".ndjson")
_ARROW = (".arrow", ".feather", ".ipc")
_RECOGNISED = (*_DELIMITED, *_JSON, *_ARROW, ".parquet", ".pq")
# Metadata files that dataset libraries write beside the data; they contain no rows.
_METADATA_FILES = (*STATE_FILES, "dataset_info.json", "dataset_infos.json")
_SUPPORTED = "json, jsonl, csv, tsv, parquet and arrow (json, jsonl and csv also as .gz or .zst)"
_LINES_FOR_DETECTION = 20


def suffix_of(path: Path) -> str:
    """Return the file's suffix in lower case, compression suffixes removed."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def reader_of(path: Path) -> Reader | None:
    """Return the reader for a file, None if the file is empty.

    Raises
    ------
    InputError
        If it cannot be read, or has an unknown format.
    """
    packed, head, suffix = compression(path), peek(path, _PEEK_BYTES), suffix_of(path)
    if head.startswith(b"PAR1") or (head.startswith((arrow_ipc.FILE_MAGIC, arrow_ipc.FEATHER_1_MAGIC))):
        if packed:
            raise InputError(f"{path} is a compressed columnar file; unpack it first, it is compressed inside anyway")
        return parquet.read if head.startswith(b"PAR1") else arrow_ipc.read
    if suffix in _ARROW and head:
        return arrow_ipc.read
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16 text; save it as UTF-8")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        # A compressed file that is damaged at its start has no content to detect; the reader reports the damage.
        return json_lines.read if packed and path.stat().st_size else None
    if suffix in _DELIMITED:
        return delimited.read
    if suffix in (".jsonl", ".ndjson"):
        return json_array.read if start.startswith(b"[") else json_lines.read
    if suffix == ".json" or start.startswith((b"{", b"[")):
        return json_lines.read if _is_lines(start) else json_array.read
    raise InputError(f"{path} is not a file of instruction rows; supported are {_SUPPORTED}")


def files_of(folder: Path) -> list[Path]:
    """Return the corpus files of a folder and its subfolders, sorted by relative path.

    Hidden files and files with other suffixes are skipped.

    Raises
    ------
    InputError
        If there is none.
    """
    candidates = [path for path in folder.rglob("*") if suffix_of(path) in _RECOGNISED and path.is_file()]
    relative = {path.relative_to(folder): path for path in candidates if path.name not in _METADATA_FILES}
    shown = {name: path for name, path in relative.items() if not any(part.startswith(".") for part in name.parts)}
    if not shown:
        raise InputError(f"the folder {folder} contains no corpus file; supported are {_SUPPORTED}")
    return [shown[name] for name in sorted(shown, key=lambda name: name.as_posix())]


def _is_lines(start: bytes) -> bool:
    """Return True if text that begins with a brace has one complete JSON object per line.

    Two such lines are enough, since others may be invalid; a single one may be a whole document on one line.
    """
    if start.startswith(b"["):
        return False
    lines = start.split(b"\n", _LINES_FOR_DETECTION)[:_LINES_FOR_DETECTION]
    return sum(line.startswith(b"{") and _is_object(line) for line in lines) > 1


def _is_object(line: bytes) -> bool:
    try:
        json_object(text_of(line))
    except RowProblem:
        return False
    return True
