"""Output to stdout: a rich console that is wide enough in a pipe, tables, and JSON."""

from __future__ import annotations

import json
import math
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from curate.schemas.terminal_text import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH_IN_A_PIPE = 120


class InertConsole(Console):
    """A console that prints text of the corpus as text: control characters become visible escapes."""

    def print(self, *objects: Any, **how: Any) -> None:
        """Print strings with visible escapes; of other objects, `grid` has made the text inert."""
        super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **how)


def console(width_in_a_pipe: int = WIDTH_IN_A_PIPE) -> Console:
    """Return a console on stdout without automatic colours, markup or wrapping."""
    # In a pipe rich would assume 80 columns and cut tables that `grep` or a log file could hold in full.
    width = None if sys.stdout.isatty() else width_in_a_pipe
    return InertConsole(width=width, highlight=False, markup=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """Print a JSON-compatible value, keys in the order given."""
    print(visible_json(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str, allow_nan=False)))


def _finite(value: Any) -> Any:
    """Return a value with infinite numbers as text: JSON has no word for them, and null means no value."""
    value = _number(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _number(value: Any) -> Any:
    """Return a decimal as int or float; DuckDB's sums of integers are decimals without places."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value.as_tuple().exponent == 0 else float(value)


def grid(columns: Sequence[str], rows: Iterable[Sequence[Any]], wide: str | None = None) -> Table:
    """Return a plain table: numbers right-aligned, text left-aligned; the column `wide` takes the remaining width."""
    body = [[_number(value) for value in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, expand=wide is not None)
    for position, name in enumerate(columns):
        values = [row[position] for row in body if row[position] is not None]
        numeric = bool(values) and all(isinstance(value, int | float) for value in values)
        table.add_column(
            visible(name),
            justify="right" if numeric else "left",
            ratio=1 if name == wide else None,
            no_wrap=name == wide or numeric,
            overflow="ellipsis",
        )
    for row in body:
        table.add_row(*(cell(value) for value in row))
    return table


def cell(value: Any) -> str:
    """Return a value as text: thousands separators, four significant digits, a dash for None."""
    if value is None:
        return "–"
    # bool is a subclass of int, so it has to be tested first.
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else f"{value:.4g}"
    return visible(str(value))


def size(count: float) -> str:
    """Return a number of bytes with a decimal unit: ``"12.3 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
