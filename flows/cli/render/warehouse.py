"""Printing of artefacts, plans, and the state and health of a warehouse."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import cell, console, grid, print_json, size


def artefact(summary: dict[str, Any], as_json: bool) -> None:
    """Print a summary of `curate.flows.operations.artefact_summary.summary`."""
    if as_json:
        print_json(summary)
        return
    out = console()
    out.print(f"{summary['noun']} {summary['id']}: {summary['rows']:,} rows")
    for name, value in summary["facts"].items():
        if not isinstance(value, dict | list):
            out.print(f"  {name.replace('_', ' '):<18}{cell(value)}", soft_wrap=True)
    for name in ("folder", "picture"):
        if summary[name]:
            out.print(f"  {name:<18}{summary[name]}", soft_wrap=True)


def imported(summary: dict[str, Any], as_json: bool) -> None:
    """Print the signals that `curate import-scores` read."""
    if as_json:
        print_json(summary)
        return
    out = console()
    out.print(grid(("signal", "examples"), summary["signals"].items()))
    out.print(
        f"Read {summary['n_rows']:,} rows: {summary['n_unknown']:,} match no example of corpus {summary['corpus_id']}, "
        f"{summary['n_missing']:,} values missing or not finite"
    )


def plan(steps: list[dict[str, Any]], as_json: bool) -> None:
    """Print the stages of a planned run: which are cached, and the estimated cost of the others."""
    if as_json:
        print_json(steps)
        return
    heads = ("stage", "artefact", "state", "rows", "time", "memory", "estimate")
    rows = (
        [*(step[head] for head in heads[:4]), _time(step["seconds"]), _memory(step["memory_mb"]), step["estimate"]]
        for step in steps
    )
    out = console()
    out.print(grid(heads, rows, wide="estimate"))
    if any(step["seconds"] is not None for step in steps):
        out.print(
            "Times are those of matrix products alone, on an idle machine; scoring takes a third more, training up to "
            "twice as long. `curate recover --dry-run` measures a step.",
            soft_wrap=True,
        )


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _memory(mebibytes: int | None) -> str | None:
    return None if mebibytes is None else size(mebibytes * 2**20)


def status(summary: dict[str, Any], as_json: bool) -> None:
    """Print the artefacts, runs and unreadable files of a warehouse."""
    if as_json:
        print_json(summary)
        return
    out = console()
    out.print(f"Warehouse {summary['warehouse']}, {size(summary['bytes'])}", soft_wrap=True)
    heads = ("noun", "id", "created", "rows", "size", "description")
    rows = (
        [one["noun"], one["id"], one["created"][:16], one["rows"], size(one["bytes"]), one["what"]]
        for one in summary["artefacts"]
    )
    out.print(grid(heads, rows, wide="description"))
    for one in summary["unfinished"]:
        out.print(_unfinished(one))
    runs = ("started", "command", "status", "error")
    started = (
        [one["started"][:19].replace("T", " "), *(one[head] for head in runs[1:])] for one in summary["runs"][:10]
    )
    out.print(grid(runs, started, wide="error"))
    for problem in summary["problems"]:
        out.print(f"problem: {problem}", soft_wrap=True)


def health(summary: dict[str, Any], as_json: bool) -> int:
    """Print the report of `curate doctor` and return the exit code: 1 if there is a problem."""
    if as_json:
        print_json(summary)
        return int(bool(summary["problems"]))
    out = console()
    for name, value in summary["environment"].items():
        out.print(f"{name:<24}{value}", soft_wrap=True)
    out.print(
        f"{summary['parts_checked']:,} parts of {summary['artefacts_checked']:,} artefacts verified by their digests"
    )
    for one in summary["unfinished"]:
        out.print(_unfinished(one))
    for problem in summary["problems"]:
        out.print(f"problem: {problem}", soft_wrap=True)
    if not summary["problems"]:
        out.print("no problem found")
    return int(bool(summary["problems"]))


def repaired(report: list[dict[str, Any]], as_json: bool) -> int:
    """Print what `curate doctor --repair` did and return the exit code: 1 if something is left damaged."""
    left = [one for one in report if not one["repaired"]]
    if as_json:
        print_json(report)
        return int(bool(left))
    out = console()
    for one in report:
        for problem in one["problems"]:
            out.print(f"problem: {problem}", soft_wrap=True)
        out.print(f"{one['noun']} {one['id']}: {one['outcome']}", soft_wrap=True)
    out.print("no damaged artefact found" if not report else f"{len(report) - len(left)} of {len(report)} made again")
    return int(bool(left))


def _unfinished(one: dict[str, str]) -> str:
    return f"unfinished: {one['noun']} {one['id']}; run the same command again to resume it"


def garbage(summary: dict[str, Any], as_json: bool) -> None:
    """Print the files that `curate gc` would remove, or has removed."""
    if as_json:
        print_json(summary)
        return
    out = console()
    rows = ([one["path"], size(one["bytes"]), f"{one['days']:.0f}", one["why"]] for one in summary["garbage"])
    if not summary["garbage"]:
        out.print(f"Nothing to remove in {summary['warehouse']}", soft_wrap=True)
        return
    out.print(grid(("path", "size", "days", "reason"), rows, wide="reason"))
    outcome = "removed" if summary["deleted"] else "unused; `curate gc --delete` removes them"
    out.print(f"{len(summary['garbage']):,} items, {size(summary['bytes'])}, {outcome}")
