"""The answers of verbs that ask: explain, sql, compare, forget."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from curate.flows.cli.render.console import cell, console, grid, print_json

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from rich.console import Console

ROWS_SHOWN, ROWS_PAGED = 100, 10_000
"""Most rows of an answer that are printed, and that are given to a pager."""
ANSWER_WIDTH = 400
"""Columns of text for an answer in a pipe, where nothing needs to be cut to fit a screen."""


def table(answer: pa.Table, as_json: bool = False, as_csv: bool = False, parquet: Path | None = None) -> None:
    """Print an answer as a table, JSON or CSV, or write it to a Parquet file."""
    if parquet is not None:
        import pyarrow.parquet as pq

        pq.write_table(answer, parquet)
        print(f"{answer.num_rows} rows in {parquet}")
    elif as_csv:
        from pyarrow import csv

        csv.write_csv(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    elif as_json:
        print_json(answer.to_pylist())
    else:
        out = console(ANSWER_WIDTH)
        # On a terminal, an answer that is taller than it goes through the pager ($PAGER).
        tall = out.is_terminal and answer.num_rows > out.height - 6
        with out.pager() if tall else nullcontext():
            _print_table(out, answer, ROWS_PAGED if tall else ROWS_SHOWN)


def _print_table(out: Console, answer: pa.Table, most: int) -> None:
    shown = answer.slice(0, most).to_pylist()
    out.print(grid(answer.column_names, ([_short(row[name]) for name in answer.column_names] for row in shown)))
    more = answer.num_rows - len(shown)
    out.print(
        f"{answer.num_rows:,} {'row' if answer.num_rows == 1 else 'rows'}"
        + (f", {more:,} not shown (--csv or --parquet gives all)" if more else "")
    )


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, str) and len(value) > 60:
        return value[:59].replace("\n", " ") + "…"
    return value


def questions(as_json: bool) -> None:
    """Print the named questions and what each answers."""
    from curate.storage.catalog.queries import questions as known

    told = known()
    if as_json:
        print_json(told)
    else:
        console().print(grid(("question", "answers"), told.items(), wide="answers"))


def explanation(told: dict[str, Any], as_json: bool) -> None:
    """Print everything known of one example."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Example {told['example_id']}")
    for turn in told["messages"]:
        out.print(f"\n[{turn['role']}]\n{turn['content']}", soft_wrap=True)
    out.print("\nsources: " + ", ".join(f"{one['source']} row {one['row']}" for one in told["sources"]), soft_wrap=True)
    for name, columns in (
        ("clusters", ("clusters_id", "cluster", "membership", "terms")),
        ("selections", ("selection_id", "method", "budget", "kept", "rank", "reason", "related_id", "score")),
    ):
        if told[name]:
            out.print(grid(columns, ([_short(row[head]) for head in columns] for row in told[name])))
    for scores in told["scores"]:
        signals = ((name, value) for name, value in scores.items() if name != "example_id" and value is not None)
        out.print(grid(("signal", "value"), ((name, cell(value)) for name, value in signals)))


def forgotten(told: dict[str, Any], as_json: bool) -> None:
    """Print which selections had kept an example that is used no more."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Example {told['example_id']} " + ("was forgotten before" if told["already"] else "is used no more"))
    if told["selections"]:
        heads = ("selection_id", "method", "budget", "created", "rank")
        out.print(grid(heads, ([row[head] for head in heads] for row in told["selections"])))
        out.print("These selections kept it; what was trained on them has seen it. Select again to be without it.")
    else:
        out.print("No selection kept it.")
