"""Verbs for the warehouse and the environment: init, status, doctor, forget, gc, catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress
from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

TEMPLATE = """\
# Settings of curate in this folder; flags and CURATE_* in the environment override them.
# warehouse = "warehouse"
corpus = ["data.jsonl"]
original = "models/original"
compressed = "models/compressed"

[select]
method = "uniform"  # random rows; paser divides the budget by damage
budget = "0.1"
"""

catalog = typer.Typer(name="catalog", help="Maintain the DuckDB catalog of a warehouse.", no_args_is_help=True)
app.add_typer(catalog)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path()) -> None:
    """Write a template of curate.toml."""
    path = folder / "curate.toml"
    if path.exists():
        raise UsageError(f"{path} already exists; edit it, or delete it first")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE)
    print(path)


@app.command()
@takes("run")
def status(settings: Settings, as_json: AsJson = False) -> None:
    """List the artefacts and runs of the warehouse."""
    from curate.flows.operations.doctor import inventory

    render.status(inventory(settings), as_json)


@app.command()
@takes("trust", "run")
def doctor(
    settings: Settings,
    model: Annotated[str | None, typer.Argument(help="Model to inspect instead: a folder or a hub name.")] = None,
    original: Annotated[
        str | None,
        typer.Option(help="The model before compression, to detect removed layers, channels, heads and experts."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged artefacts again, by the settings of the run that made them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the environment and the warehouse, or a model.

    Given a model, prints how it was compressed and which method `curate recover` would use. With --repair, makes again
    what can be made again, and says of the rest why not.
    """
    from curate.flows.operations.doctor import examine, examine_model

    if repair and model is None:
        from curate.flows.operations.repair import repair as make_again

        with progress.on_stderr():
            report = make_again(settings)
        raise typer.Exit(render.repaired(report, as_json))
    if model is not None:
        render.detected(model, examine_model(settings, model, original), as_json)
        return
    raise typer.Exit(render.health(examine(settings), as_json))


@app.command()
@takes("run")
def forget(
    settings: Settings,
    example_id: Annotated[str, typer.Argument(help="Example id, or its beginning.")],
    as_json: AsJson = False,
) -> None:
    """Exclude an example from all future selections.

    Prints the selections that kept it.
    """
    from curate.flows.session import open_warehouse
    from curate.storage.maintenance.forgotten import forget as exclude

    render.forgotten(exclude(open_warehouse(settings), example_id), as_json)


@app.command()
@takes("run")
def gc(
    settings: Settings,
    grace_days: Annotated[float, typer.Option(help="Keep everything younger than this many days.")] = 7.0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the files; otherwise they are only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List unused artefacts; remove them with --delete.

    Unused are artefacts that no selection and no recent run needs, unfinished attempts, and left-over files.
    """
    from curate.flows.operations.collect_garbage import gc as collect

    render.garbage(collect(settings, grace_days, delete), as_json)


@catalog.command()
@takes("run")
def rebuild(settings: Settings) -> None:
    """Rebuild catalog.duckdb from the artefacts, for example after moving the warehouse.

    The exit code is 1 if something cannot be read and is left out, each with a warning.
    """
    from curate.flows.session import open_warehouse
    from curate.storage.catalog.publish import publish

    published = publish(open_warehouse(settings), anew=True)
    print(published.path)
    raise typer.Exit(int(bool(published.left_out)))
