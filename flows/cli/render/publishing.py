"""Printing of ``curate export`` and ``curate report``."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, grid, print_json


def exported(summary: dict[str, Any], as_json: bool) -> None:
    """Print the files that `curate export` wrote, the licences of the rows, and the rows left out."""
    if as_json:
        print_json(summary)
        return
    out = console()
    out.print(f"Selection {summary['selection_id']}: {summary['rows']:,} rows written for {summary['target']}")
    if "targets" in summary:
        out.print(f"with the answers of targets {summary['targets']} (--keep-reference {summary['keep_reference']})")
    for path in summary["files"]:
        out.print(f"  {path}", soft_wrap=True)
    if summary["target"] != "ids":
        out.print("\nThe files contain text of these sources; check their licences.")
    out.print(grid(("licence", "rows"), summary["licences"].items()))
    if summary["left_out"]:
        out.print(f"{sum(summary['left_out'].values()):,} kept rows were left out; {summary['files'][-1]} lists them")
        out.print(grid(("reason", "rows"), summary["left_out"].items()))


def reported(summary: dict[str, Any], as_json: bool) -> None:
    """Print the paths of the files that `curate report` wrote."""
    if as_json:
        print_json(summary)
        return
    out = console()
    out.print(f"Selection {summary['selection_id']}")
    for name, path in (("report", summary["report"]), *(("picture", path) for path in summary["pictures"])):
        out.print(f"{name:<9}{path}", soft_wrap=True)
    out.print("The report contains text of the corpus; it lists the licences.")
