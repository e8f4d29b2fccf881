"""Reads the JSON files of a model folder, whatever they hold: one reader for configuration, index and adapter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import InputError, first_line

if TYPE_CHECKING:
    from pathlib import Path

REMEDY = "restore it from the source of the model"

_KINDS = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, is not UTF-8, is no JSON, is nested too deeply, or holds no object.
    """
    try:
        text = path.read_text("utf-8-sig")
        value = json.loads(text)
    except OSError as error:
        raise InputError(f"file {str(path)!r} cannot be read ({error.strerror or error}); {REMEDY}") from error
    except RecursionError as error:
        raise InputError(f"file {str(path)!r} is nested too deeply to be read; {REMEDY}") from error
    except ValueError as error:
        reason = first_line(error) if path.stat().st_size else "it is empty"
        raise InputError(f"file {str(path)!r} is not JSON ({reason}); {REMEDY}") from error
    if not isinstance(value, dict):
        raise InputError(f"file {str(path)!r} holds {_KINDS.get(type(value), 'a value')}, not a JSON object; {REMEDY}")
    return value


def check_objects(paths: list[Path]) -> None:
    """Raise InputError for the first of some JSON files that holds no object."""
    for path in paths:
        if path.suffix == ".json" and path.is_file():
            read_object(path)
