"""What ``curate compare`` prints: two selections side by side, or the trial of several methods."""

from __future__ import annotations

from typing import Any

from curate.flows.render.out import cell, console, grid, print_json

_WHOSE = ("corpus", "first", "second")


def overlap(told: dict[str, Any], as_json: bool) -> None:
    """Print how two selections differ."""
    if as_json:
        print_json(told)
        return
    out = console()
    names = ("first", "second", "kept_first", "kept_second", "kept_both", "both_by_chance", "jaccard")
    for name in names:
        out.print(f"{name.replace('_', ' '):<16}{cell(told[name])}")
    for name in ("clusters", "tokens"):
        if told[name]:
            heads = tuple(told[name][0])
            shown = [head.replace("_", " ") for head in heads]
            out.print(grid(shown, ([row[head] for head in heads] for row in told[name])))
    if told["signals"]:
        columns = ("signal", "distance", *(f"{whose}: 10, 50, 90 %" for whose in _WHOSE))
        out.print(grid(columns, (_quantiles(row) for row in told["signals"])))


def _quantiles(row: dict[str, Any]) -> list[Any]:
    three = (", ".join(f"{row[f'{whose}_q{q}']:.3g}" for q in (10, 50, 90)) for whose in _WHOSE)
    return [row["signal"], row["distance"], *three]
