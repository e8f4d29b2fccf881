"""Printing of ``curate sql``, ``curate explain`` and ``curate forget``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from curate.flows.cli.render.console import cell, console, grid, print_json
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from rich.console import Console

ROWS_SHOWN, ROWS_PAGED = 100, 10_000
"""Most rows of a query result that are printed, and that are sent to a pager."""
PIPE_WIDTH = 400
"""Width of a query result in a pipe, in characters; there is no screen to fit."""


def table(
    result: pa.Table,
    as_json: bool = False,
    as_csv: bool = False,
    csv_safe: bool = False,
    parquet: Path | None = None,
) -> None:
    """Print a query result as a table, JSON or CSV, or write it to a Parquet file."""
    if parquet is not None:
        import pyarrow.parquet as pq

        from curate.flows.operations.output_files import refuse_special
        from curate.storage.warehouse.permissions import files_of_user

        refuse_special(parquet, "--parquet")
        with files_of_user():
            pq.write_table(result, parquet)
        print(f"{result.num_rows} rows in {parquet}")
    elif as_csv or csv_safe:
        from curate.flows.cli.render.comma_separated import write_csv

        write_csv(result, csv_safe)
    elif as_json:
        print_json(_rows(result))
    else:
        out = console(PIPE_WIDTH)
        # On a terminal, a result with more rows than fit below the header goes through the pager ($PAGER).
        paged = out.is_terminal and result.num_rows > out.height - 6
        with out.pager() if paged else nullcontext():
            _print_table(out, result, ROWS_PAGED if paged else ROWS_SHOWN)


def _print_table(out: Console, result: pa.Table, limit: int) -> None:
    shown = _rows(result.slice(0, limit))
    out.print(grid(result.column_names, ([_short(row[name]) for name in result.column_names] for row in shown)))
    hidden = result.num_rows - len(shown)
    out.print(
        f"{result.num_rows:,} {'row' if result.num_rows == 1 else 'rows'}"
        + (f", {hidden:,} not shown (--csv or --parquet writes all)" if hidden else "")
    )


def _rows(result: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a query result; dates and times that Python cannot represent become text."""
    columns = [_values(name, column) for name, column in zip(result.column_names, result.columns, strict=True)]
    return [dict(zip(result.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        pass
    try:
        return list(column.cast(pa.string()).to_pylist())
    except pa.ArrowException as error:
        raise UsageError(
            f"column {name!r} has times outside the years 1 to 9999; cast them in the query, as in {name}::VARCHAR"
        ) from error


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, str) and len(value) > 60:
        return value[:59].replace("\n", " ") + "…"
    return value


def named_queries(descriptions: dict[str, str], as_json: bool) -> None:
    """Print the name and the description of each named query."""
    if as_json:
        print_json(descriptions)
    else:
        console().print(grid(("query", "returns"), descriptions.items(), wide="returns"))


def explanation(result: dict[str, Any], as_json: bool) -> None:
    """Print text, sources, clusters, selections and scores of one example."""
    if as_json:
        print_json(result)
        return
    out = console()
    out.print(f"Example {result['example_id']}")
    for turn in result["messages"]:
        context = turn["role"] == "assistant" and not turn["supervised"]
        heading = f"{turn['role']}, context only" if context else turn["role"]
        out.print(f"\n[{heading}]\n{turn['content']}", soft_wrap=True)
    out.print(
        "\nsources: " + ", ".join(f"{one['source']} row {one['row']}" for one in result["sources"]), soft_wrap=True
    )
    for name, columns in (
        ("clusters", ("clusters_id", "cluster", "membership", "terms")),
        ("selections", ("selection_id", "method", "budget", "kept", "rank", "reason", "related_id", "score")),
    ):
        if result[name]:
            out.print(grid(columns, ([_short(row[head]) for head in columns] for row in result[name])))
    if older := result["older_selections"]:
        out.print(f"{older:,} older selections are not shown; --selection ID shows one")
    for scores in result["scores"]:
        signals = ((name, value) for name, value in scores.items() if name != "example_id" and value is not None)
        out.print(grid(("signal", "value"), ((name, cell(value)) for name, value in signals)))


def forgotten(result: dict[str, Any], as_json: bool) -> None:
    """Print a forgotten example and the selections that kept it."""
    if as_json:
        print_json(result)
        return
    out = console()
    out.print(
        f"Example {result['example_id']} "
        + ("was already forgotten" if result["already"] else "is excluded from all future selections")
    )
    if result["selections"]:
        heads = ("selection_id", "method", "budget", "created", "rank")
        out.print(grid(heads, ([row[head] for head in heads] for row in result["selections"])))
        out.print("These selections kept it, so models trained on them have seen it. Select again to drop it.")
    else:
        out.print("No selection kept it.")
