"""What the warehouse holds or is about to hold: artefacts, plans, status, health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows.cli.render.console import cell, console, grid, print_json, size

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.artefacts import Noun
    from curate.storage.warehouse.warehouse import Warehouse


def artefact(warehouse: Warehouse, noun: Noun, artefact_id: str, picture: Path | None, as_json: bool) -> None:
    """Print one artefact that a verb made or found done."""
    made = warehouse.manifest(noun, artefact_id)
    told = {"noun": noun, "id": made.id, "rows": made.rows(), "seconds": made.seconds, "facts": made.facts}
    told["folder"] = str(warehouse.folder(noun, artefact_id))
    told["picture"] = str(picture) if picture else None
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"{noun} {made.id}: {made.rows():,} rows")
    for name, value in made.facts.items():
        if not isinstance(value, dict | list):
            out.print(f"  {name.replace('_', ' '):<18}{cell(value)}", soft_wrap=True)
    for name in ("folder", "picture"):
        if told[name]:
            out.print(f"  {name:<18}{told[name]}", soft_wrap=True)


def imported(told: dict[str, Any], as_json: bool) -> None:
    """Print what `curate import-scores` read."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(grid(("signal", "examples"), told["signals"].items()))
    out.print(
        f"Read {told['n_rows']:,} rows: {told['n_unknown']:,} of no example of corpus {told['corpus_id']}, "
        f"{told['n_missing']:,} values missing or not finite"
    )


def plan(steps: list[dict[str, Any]], as_json: bool) -> None:
    """Print what a run would make, what is there already, and what the rest would cost."""
    if as_json:
        print_json(steps)
        return
    columns = ("stage", "artefact", "state", "rows", "estimate")
    console().print(grid(columns, ([step[name] for name in columns] for step in steps), wide="estimate"))


def status(told: dict[str, Any], as_json: bool) -> None:
    """Print what the warehouse holds."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Warehouse {told['warehouse']}, {size(told['bytes'])}", soft_wrap=True)
    heads = ("noun", "id", "created", "rows", "size", "what")
    rows = (
        [one["noun"], one["id"], one["created"][:16], one["rows"], size(one["bytes"]), one["what"]]
        for one in told["artefacts"]
    )
    out.print(grid(heads, rows, wide="what"))
    for one in told["unfinished"]:
        out.print(_begun(one))
    runs = ("started", "command", "status", "error")
    started = ([one["started"][:19].replace("T", " "), *(one[head] for head in runs[1:])] for one in told["runs"][:10])
    out.print(grid(runs, started, wide="error"))
    for problem in told["problems"]:
        out.print(f"problem: {problem}", soft_wrap=True)


def health(told: dict[str, Any], as_json: bool) -> int:
    """Print what `curate doctor` found and return the exit code: 1 if something is wrong."""
    if as_json:
        print_json(told)
        return int(bool(told["problems"]))
    out = console()
    for name, value in told["environment"].items():
        out.print(f"{name:<24}{value}", soft_wrap=True)
    out.print(
        f"{told['parts_checked']:,} parts of {told['artefacts_checked']:,} artefacts checked against their digests"
    )
    for one in told["unfinished"]:
        out.print(_begun(one))
    for problem in told["problems"]:
        out.print(f"problem: {problem}", soft_wrap=True)
    if not told["problems"]:
        out.print("no problem found")
    return int(bool(told["problems"]))


def _begun(one: dict[str, str]) -> str:
    return f"begun: {one['noun']} {one['id']}; the command that began it goes on where it stopped"


def garbage(told: dict[str, Any], as_json: bool) -> None:
    """Print what `curate gc` would remove, or has removed."""
    if as_json:
        print_json(told)
        return
    out = console()
    rows = ([one["path"], size(one["bytes"]), f"{one['days']:.0f}", one["why"]] for one in told["garbage"])
    if not told["garbage"]:
        out.print(f"Nothing to remove in {told['warehouse']}", soft_wrap=True)
        return
    out.print(grid(("what", "size", "days", "why"), rows, wide="why"))
    done = "were removed" if told["deleted"] else "can go; `curate gc --delete` removes them"
    out.print(f"{len(told['garbage']):,} things, {size(told['bytes'])}, {done}")
