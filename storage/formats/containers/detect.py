"""Detects the file format of a corpus file from its first bytes, then its name; lists the corpus files of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError
from curate.storage.formats.containers import arrow_ipc, delimited, json_array, json_lines, parquet
from curate.storage.formats.containers.compressed import compression, peek
from curate.storage.formats.containers.dataset_directory import STATE_FILES
from curate.storage.formats.containers.json_lines import json_object
from curate.storage.formats.containers.remote import CorpusFile, RemoteFile
from curate.storage.formats.containers.text_lines import text_of
from curate.storage.formats.rows import DamagedFile, RawRows, RowProblem

if TYPE_CHECKING:
    from pathlib import Path, PurePath

Reader = Callable[[CorpusFile, str], RawRows]

_PEEK_BYTES = 2**20
_PACKED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")
_DELIMITED = (".csv", ".tsv")
_JSON = (".json", ".jsonl", ".ndjson")
_ARROW = (".arrow", ".feather", ".ipc")
_RECOGNISED = (*_DELIMITED, *_JSON, *_ARROW, ".parquet", ".pq")
# Metadata files that dataset libraries write beside the data; they contain no rows.
_METADATA_FILES = (*STATE_FILES, "dataset_info.json", "dataset_infos.json")
_SUPPORTED = "json, jsonl, csv, tsv, parquet and arrow (json, jsonl and csv also as .gz, .zst, .bz2 or .xz)"
_LINES_FOR_DETECTION = 20
_ARRAY_IN_LINES = re.compile(r"\[[^\n]*\]\s*\n\s*\{")
"""A line that is an array, and one that is an object: JSON lines, the first of which cannot be used."""
_BLANK = b" \t\r\n\v\f\x1e"
"""White space, and the separator of JSON text sequences (RFC 7464)."""


def suffix_of(path: PurePath | RemoteFile) -> str:
    """Return the file's suffix in lower case, compression suffixes removed."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def reader_of(path: CorpusFile) -> Reader | None:
    """Return the reader for a file, None if the file is empty.

    Raises
    ------
    InputError
        If it cannot be read, or has an unknown format.
    """
    packed, suffix = compression(path), suffix_of(path)
    try:
        head = peek(path, _PEEK_BYTES)
    except DamagedFile as problem:
        if packed:
            return json_lines.read  # there is no content to detect; the reader reports the damage
        raise InputError(f"{path} {problem.what}; no row could be read; get a complete copy of it") from problem
    if head.startswith(b"PAR1") or (head.startswith((arrow_ipc.FILE_MAGIC, arrow_ipc.FEATHER_1_MAGIC))):
        if packed:
            raise InputError(f"{path} is a compressed columnar file; unpack it first, it is compressed inside anyway")
        return parquet.read if head.startswith(b"PAR1") else arrow_ipc.read
    if suffix in _ARROW and head:
        return arrow_ipc.read
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16 text; save it as UTF-8")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
    if not start:
        # After white space a compressed file may be damaged, too.
        return json_lines.read if packed else None
    if suffix in _DELIMITED:
        return delimited.read
    if suffix in (".jsonl", ".ndjson"):
        return json_array.read if _is_document(start) else json_lines.read
    if suffix == ".json" or start.startswith((b"{", b"[")):
        return json_lines.read if _is_lines(start) else json_array.read
    raise InputError(f"{path} is not a file of instruction rows; supported are {_SUPPORTED}")


def files_of(folder: Path) -> list[Path]:
    """Return the corpus files of a folder and its subfolders, linked ones included, sorted by relative path.

    Hidden files and files with other suffixes are skipped.

    Raises
    ------
    InputError
        If there is none.
    """
    relative = {path.relative_to(folder): path for path in _all_files(folder) if path.is_file()}
    shown = {name: path for name, path in relative.items() if is_wanted(name)}
    if not shown:
        raise InputError(f"the folder {folder} contains no corpus file; supported are {_SUPPORTED}")
    return [shown[name] for name in sorted(shown, key=lambda name: name.as_posix())]


def is_wanted(name: PurePath) -> bool:
    """Return True if a file with this relative name is read as part of a folder."""
    hidden = any(part.startswith(".") for part in name.parts)
    return suffix_of(name) in _RECOGNISED and name.name not in _METADATA_FILES and not hidden


def _all_files(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders; a link to a folder that contains it is not followed."""
    above |= {folder.resolve()}
    for path in folder.iterdir():
        if path.is_dir():
            if path.resolve() not in above:
                yield from _all_files(path, above)
        else:
            yield path


def _is_document(start: bytes) -> bool:
    """Return True if text is no JSON lines: an array, a value of several lines, or a wrapper of rows."""
    text = text_of(start)
    if text.startswith("["):
        return not _ARRAY_IN_LINES.match(text)
    try:
        end = json.JSONDecoder(strict=False).raw_decode(text)[1]
    except (ValueError, RecursionError):
        return False
    return "\n" in text[:end].replace("\r", "\n") or json_array.is_wrapped(text)


def _is_lines(start: bytes) -> bool:
    """Return True if text that begins with a brace has one complete JSON object per line.

    Two such lines are enough, since others may be invalid; a single one may be a whole document on one line.
    """
    if start.startswith(b"["):
        return bool(_ARRAY_IN_LINES.match(text_of(start)))
    lines = start.split(b"\n", _LINES_FOR_DETECTION)[:_LINES_FOR_DETECTION]
    return sum(line.startswith(b"{") and _is_object(line) for line in lines) > 1


def _is_object(line: bytes) -> bool:
    try:
        json_object(text_of(line))
    except RowProblem:
        return False
    return True
