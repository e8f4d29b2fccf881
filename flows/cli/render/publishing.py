"""The results of verbs that give results to others: export, report."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, grid, print_json


def exported(told: dict[str, Any], as_json: bool) -> None:
    """Print what `curate export` wrote, under which licences, and what it had to leave out."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Selection {told['selection_id']}: {told['rows']:,} rows written for {told['target']}")
    for path in told["files"]:
        out.print(f"  {path}", soft_wrap=True)
    if told["target"] != "ids":
        out.print("\nThe files hold text of these sources; mind their licences.")
    out.print(grid(("licence", "rows"), told["licences"].items()))
    if told["left_out"]:
        out.print(f"{sum(told['left_out'].values()):,} kept rows were left out; {told['files'][-1]} names them")
        out.print(grid(("reason", "rows"), told["left_out"].items()))


def reported(told: dict[str, Any], as_json: bool) -> None:
    """Print where `curate report` wrote."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Selection {told['selection_id']}")
    for name, path in (("report", told["report"]), *(("picture", path) for path in told["pictures"])):
        out.print(f"{name:<9}{path}", soft_wrap=True)
    out.print("The report holds text of the corpus; it names the licences.")
