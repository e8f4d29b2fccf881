"""The one place where values become SQL text: file paths and ids in the catalog's views, which cannot bind parameters.

Everywhere else values are bound. Knows nothing of connections.
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
        If it holds a NUL or an unpaired surrogate, which no path and no id of ours can.
    """
    if "\0" in text:
        raise ValueError(f"{text!r} holds a NUL and cannot stand in SQL")
    text.encode("utf-8")
    return "'" + text.replace("'", "''") + "'"


def quoted_list(texts: Iterable[str]) -> str:
    """Return `texts` as a DuckDB list of string literals."""
    return "[" + ", ".join(quoted(text) for text in texts) + "]"


def name(text: str) -> str:
    """Return `text` as a DuckDB identifier."""
    return '"' + text.replace('"', '""') + '"'
