"""The verbs ``curate export`` and ``curate report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress
from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes
from curate.flows.cli.typed import local_folder

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

Selection = Annotated[str, typer.Argument(help="Selection id or its beginning; the latest by default.")]


@app.command()
@takes("targets", "models", "layout", "seed", "run")
def export(
    settings: Settings,
    to: Annotated[
        str,
        typer.Option(
            help="llama-factory, axolotl, axolotl-kd, model-optimizer, trl, alpaca, sharegpt, messages, hf-dataset, "
            "ids or calibration.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write into; created if missing.", callback=local_folder)
    ],
    selection: Selection = "latest",
    name: Annotated[str | None, typer.Option(help="Name of the data set. [curate_ and the selection's id]")] = None,
    rows: Annotated[int | None, typer.Option(help="Rows of a calibration set. [128]")] = None,
    top: Annotated[int | None, typer.Option(help="Tokens of each prediction that axolotl-kd keeps. [64]")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the kept rows for a trainer or a quantiser.

    The files contain text of the corpus.
    """
    from curate.flows.operations import export as operation

    with progress.on_stderr():
        summary = operation.export(settings, selection, to, out, name, rows, top)
    render.exported(summary, as_json)


@app.command()
@takes("run")
def report(
    settings: Settings,
    selection: Selection = "latest",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="HTML file. [WAREHOUSE/reports/ID.html]", callback=local_folder)
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Also write the pictures as PNG files next to it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a selection as a single HTML page.

    Shows map, clusters, scores, reasons, rows and lineage. The page loads nothing from the network.
    """
    from curate.flows.operations import report as operation

    render.reported(operation.report(settings, selection, out, png), as_json)
