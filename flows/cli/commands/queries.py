"""The verbs ``curate explain`` and ``curate sql``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows.cli import interrupts, render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings


@app.command()
@takes("run")
def explain(
    settings: Settings,
    example_id: Annotated[str, typer.Argument(help="Example id, or its beginning.")],
    selection: Annotated[str | None, typer.Option(help="Only this selection; the newest 20 by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one example and why it was kept or left out.

    Prints text, sources, cluster, signals, and the decision of each selection with its reason.
    """
    interrupts.handle(interrupts.end_at_once)
    from curate.storage.catalog import queries

    with queries.open_catalog(settings.warehouse, settings.verify) as con:
        render.explanation(queries.explain(con, example_id, selection), as_json)


@app.command()
@takes("files", "run")
def sql(
    settings: Settings,
    query: Annotated[str | None, typer.Argument(help="SQL over the catalog; tables in docs/tables.md.")] = None,
    named: Annotated[str | None, typer.Option(help="A named query; without a value, lists them.")] = None,
    parameter: Annotated[list[str] | None, typer.Option("--with", help="name=value for a named query.")] = None,
    as_json: AsJson = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV.")] = False,
    csv_safe: Annotated[
        bool, typer.Option("--csv-safe", help="CSV for spreadsheets: texts that are formulas begin with an apostrophe.")
    ] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write the result to this Parquet file.")] = None,
) -> None:
    """Query the catalog of the warehouse with SQL, read-only."""
    interrupts.handle(interrupts.end_at_once)
    from curate.flows.operations.sql import run_query
    from curate.storage.catalog import queries

    if (query is None) == (named is None):
        raise UsageError("give either SQL or --named QUERY")
    if named == "list":
        render.named_queries(queries.named_queries(), as_json)
        return
    result = run_query(settings, query, named, parameter or [])
    render.table(result, as_json=as_json, as_csv=csv, csv_safe=csv_safe, parquet=parquet)
