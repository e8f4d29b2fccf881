"""The verb ``curate compress``."""

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

Model = Annotated[str, typer.Argument(help="Model folder or hub name.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write; must not exist yet.", callback=local_folder)]
How = Annotated[
    str,
    typer.Option("--method", "-m", help="wanda, magnitude, blocks, width, sort, truncate, heads, experts or quantise."),
]
Sparsity = Annotated[
    str | None,
    typer.Option(
        "--sparsity",
        "-s",
        help="Share of weights or channels to remove (0.5), pattern (2:4), or number of layers, experts, groups. [0.5]",
    ),
]
CalibrationRows = Annotated[int, typer.Option(help="Rows of --corpus to calibrate on.")]


@app.command()
@takes("compressing", "corpus", "scoring", "seed", "run")
def compress(
    settings: Settings,
    model: Model,
    out: Out,
    method: How = "wanda",
    sparsity: Sparsity = None,
    calibration_rows: CalibrationRows = 128,
    as_json: AsJson = False,
) -> None:
    """Prune or quantise a model and write the compressed model folder.

    wanda and magnitude set weights to zero, blocks removes layers, width removes MLP channels, heads removes groups of
    attention heads, experts removes experts of a mixture. sort puts channels in order of importance, and truncate keeps
    the first of a sorted model. quantise stores weights in 8 bits. Methods other than magnitude, truncate and quantise
    calibrate on rows of --corpus, blocks only without --path.
    """
    from curate.flows.operations import compress as operation

    with progress.on_stderr():
        report = operation.compress(settings, model, out, method, sparsity, calibration_rows)
    render.compression(report, as_json)
