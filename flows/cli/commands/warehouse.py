"""Verbs about the warehouse and the environment: init, status, doctor, forget, gc, catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

TEMPLATE = """\
# Settings of curate in this folder; a flag or CURATE_* in the environment goes before them.
# warehouse = "warehouse"
corpus = ["data.jsonl"]
original = "models/original"
compressed = "models/compressed"

[select]
method = "paser"
budget = "0.1"
"""

catalog = typer.Typer(name="catalog", help="The DuckDB catalog of a warehouse.", no_args_is_help=True)
app.add_typer(catalog)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path()) -> None:
    """Write a curate.toml to fill in."""
    path = folder / "curate.toml"
    if path.exists():
        raise UsageError(f"{path} is already there; edit it, or delete it first")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE)
    print(path)


@app.command()
@takes("run")
def status(settings: Settings, as_json: AsJson = False) -> None:
    """List what the warehouse holds: artefacts, runs, sizes."""
    from curate.flows.operations.doctor import inventory

    render.status(inventory(settings.warehouse), as_json)


@app.command()
@takes("trust", "run")
def doctor(
    settings: Settings,
    model: Annotated[str | None, typer.Argument(help="Model to look at instead: a folder or a hub name.")] = None,
    original: Annotated[str | None, typer.Option(help="The model before compression, to tell removed layers.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the environment and the warehouse; or tell what was done to a model, and how it would be recovered."""
    from curate.flows.operations.doctor import examine, examine_model

    if model is not None:
        render.detected(model, examine_model(settings, model, original), as_json)
        return
    raise typer.Exit(render.health(examine(settings.warehouse), as_json))


@app.command()
@takes("run")
def forget(
    settings: Settings,
    example_id: Annotated[str, typer.Argument(help="Example id, or its beginning.")],
    as_json: AsJson = False,
) -> None:
    """Never select an example again, and tell which selections kept it."""
    from curate.storage.maintenance.forgotten import forget as exclude
    from curate.storage.warehouse.warehouse import Warehouse

    render.forgotten(exclude(Warehouse(settings.warehouse), example_id), as_json)


@app.command()
@takes("run")
def gc(
    settings: Settings,
    grace_days: Annotated[float, typer.Option(help="Keep what is younger than this.")] = 7.0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; otherwise it is only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what no selection and no recent run uses, unfinished attempts and leftovers; remove it with --delete."""
    from curate.flows.operations.collect_garbage import gc as collect

    render.garbage(collect(settings, grace_days, delete), as_json)


@catalog.command()
@takes("run")
def rebuild(settings: Settings) -> None:
    """Rebuild catalog.duckdb from the artefacts, for example after moving the warehouse."""
    from curate.storage.catalog.publish import publish
    from curate.storage.warehouse.warehouse import Warehouse

    print(publish(Warehouse(settings.warehouse)))
