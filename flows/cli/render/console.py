"""The one way to stdout: a rich console that is wide enough in a pipe, and JSON that any tool can read."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH_IN_A_PIPE = 120


def console(width_in_a_pipe: int = WIDTH_IN_A_PIPE) -> Console:
    """Return a console on stdout that adds no colour to text by itself."""
    width = None if sys.stdout.isatty() else width_in_a_pipe
    return Console(width=width, highlight=False, markup=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """Print a JSON-able value, keys in the order given."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def grid(columns: Sequence[str], rows: Iterable[Sequence[Any]], wide: str | None = None) -> Table:
    """Return a plain table: numbers to the right, text to the left; the column `wide` takes the room that is left."""
    body = [list(row) for row in rows]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, expand=wide is not None)
    for place, name in enumerate(columns):
        values = [row[place] for row in body if row[place] is not None]
        numeric = bool(values) and all(isinstance(value, int | float) for value in values)
        made.add_column(
            name,
            justify="right" if numeric else "left",
            ratio=1 if name == wide else None,
            no_wrap=name == wide or numeric,
            overflow="ellipsis",
        )
    for row in body:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: Any) -> str:
    """Return a value as people write it: thousands separated, four significant digits, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else f"{value:.4g}"
    return str(value)


def size(count: float) -> str:
    """Return a number of bytes as people write it: ``"12.3 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
