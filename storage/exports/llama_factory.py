"""LLaMA-Factory: a data file in its sharegpt format, and an entry in the ``dataset_info.json`` beside it.

The file is merged, never overwritten: other entries stay as they are, and an entry of the same name that does not
describe our file is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import InputError, UsageError
from curate.storage.exports.writing import write_array, write_document
from curate.storage.warehouse import atomic, lock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REGISTER = "dataset_info.json"
LOCK_SECONDS = 60.0


def write(folder: Path, name: str, records: Iterable[Any]) -> list[Path]:
    """Write the data file, then register it; return both paths.

    Raises
    ------
    InputError
        If ``dataset_info.json`` is there and is no JSON object.
    UsageError
        If it describes another data set under this name.
    """
    data, register = folder / f"{name}.json", folder / REGISTER
    entry = {
        "file_name": data.name,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
    }
    # Exports into one folder take turns, or the later would forget what the earlier registered.
    with lock.locked(folder / f".{REGISTER}.lock", LOCK_SECONDS, str(register)):
        _merged(register, name, entry)
        write_array(data, records)
        write_document(register, _merged(register, name, entry))
    return [data, register]


def _merged(register: Path, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    if not register.exists():
        return {name: entry}
    with atomic.disk_errors("read", register):
        text = register.read_bytes()
    try:
        known = json.loads(text)
    except ValueError as error:
        raise InputError(f"{register} is not valid JSON ({error}); repair it, nothing was changed") from error
    if not isinstance(known, dict):
        raise InputError(f"{register} is no JSON object of data sets; repair it, nothing was changed")
    theirs = known.get(name, entry)
    if not isinstance(theirs, dict) or theirs.get("file_name") != entry["file_name"]:
        raise UsageError(f"{register} describes another data set as {name!r}; give another --name")
    return {**known, name: entry}
