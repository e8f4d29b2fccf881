"""Reads what was typed for an option into the value of its setting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.schemas.fields import Syntax


def column_map(pairs: list[str]) -> dict[str, str]:
    """Return ``{"response": "answer"}`` from ``["response=answer"]``.

    Raises
    ------
    UsageError
        If a pair has no ``=``, or a role is given twice.
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        role, equals, column = pair.partition("=")
        if not (equals and role and column) or role in columns:
            raise UsageError(f"--map {pair!r} is not role=column, each role once; for example --map response=answer")
        columns[role] = column
    return columns


def local_folder(path: Path | None) -> Path | None:
    """Return the path of ``--out``; UsageError if it is an address, or ``s3://…`` would make a folder ``s3:``."""
    from curate.storage.formats.containers.remote import has_scheme

    if path is not None and has_scheme(path):
        raise UsageError(f"--out {path} is an address; give a local path, and copy the result there afterwards")
    return path


def comma_separated(text: str) -> tuple[str, ...]:
    """Return the items of a list separated by commas, in their order, each once."""
    return tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))


def example_ids(values: list[str]) -> tuple[str, ...]:
    """Return example ids from options, each an id or ``@file`` with one id a line.

    Raises
    ------
    InputError
        If such a file cannot be read.
    """
    ids: list[str] = []
    for value in values:
        if not value.startswith("@"):
            ids.append(value)
            continue
        try:
            ids += Path(value[1:]).read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read example ids from {value[1:]!r}: {error}") from error
    return tuple(ids)


READERS: Mapping[Syntax, Callable[[Any], Any]] = {
    "value": lambda typed: typed,
    "repeated": lambda typed: typed,
    "commas": comma_separated,
    "pairs": column_map,
    "ids": example_ids,
    "off": lambda _: False,
}
"""From what was typed to the setting's value, by syntax."""
