"""Quotes literals and identifiers for SQL text.

Only the catalog's views need it, for file paths and ids: a view cannot have bound parameters. All other SQL binds its
values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def quoted(text: str) -> str:
    """Return `text` as a DuckDB string literal.

    Raises
    ------
    ValueError
        If it contains a NUL or an unpaired surrogate; no path and no id of a warehouse does.
    """
    if "\0" in text:
        raise ValueError(f"{text!r} contains a NUL, which SQL text cannot hold")
    text.encode("utf-8")
    return "'" + text.replace("'", "''") + "'"


def quoted_list(texts: Iterable[str]) -> str:
    """Return `texts` as a DuckDB list of string literals."""
    return "[" + ", ".join(quoted(text) for text in texts) + "]"


def quoted_name(text: str) -> str:
    """Return `text` as a DuckDB identifier."""
    return '"' + text.replace('"', '""') + '"'
