"""The results of verbs about models."""

from __future__ import annotations

from typing import Any

from curate.flows.render.out import cell, console, print_json


def compression(report: dict[str, Any], as_json: bool) -> None:
    """Print what `curate compress` did."""
    if as_json:
        print_json(report)
        return
    out = console()
    for name, value in report.items():
        if not isinstance(value, dict | list):
            out.print(f"{name.replace('_', ' '):<20}{cell(value)}", soft_wrap=True)
