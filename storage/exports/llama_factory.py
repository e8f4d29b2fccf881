"""Export for LLaMA-Factory: a data file in its sharegpt format, and an entry in ``dataset_info.json`` beside it.

``dataset_info.json`` is merged: other entries stay unchanged, and an entry of the same name for another file is an
error.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import InputError, UsageError
from curate.storage.exports.writing import Destination, write_array, write_document
from curate.storage.warehouse import atomic, lock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REGISTER = "dataset_info.json"


def write(to: Destination, records: Iterable[Any]) -> list[Path]:
    """Write the data file, then register it; return both paths.

    Raises
    ------
    InputError
        If ``dataset_info.json`` exists and is not a JSON object.
    UsageError
        If it describes another data set under this name.
    """
    data, register = to.folder / f"{to.name}.json", to.folder / REGISTER
    entry = {
        "file_name": data.name,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
    }
    # Locked, or one of two concurrent exports into a folder would overwrite the other's entry.
    with lock.locked_folder(to.folder, to.lock_timeout, str(register)):
        _merged(register, to.name, entry)  # checked before the data file is written
        write_array(data, records)
        write_document(register, _merged(register, to.name, entry))
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
        raise InputError(f"{register} is not a JSON object of data sets; repair it, nothing was changed")
    registered = known.get(name, entry)
    if not isinstance(registered, dict) or registered.get("file_name") != entry["file_name"]:
        raise UsageError(f"{register} describes another data set as {name!r}; pass another --name")
    return {**known, name: entry}
