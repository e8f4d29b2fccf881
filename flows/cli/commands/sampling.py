"""The verb ``curate sample``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress
from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

Selection = Annotated[str, typer.Argument(help="Selection id or its beginning; the latest by default.")]


@app.command()
@takes("sampling", "models", "engine", "seed", "run")
def sample(settings: Settings, selection: Selection = "latest", as_json: AsJson = False) -> None:
    """Draw a model's own answers to the rows of a selection, as targets for `recover --targets`.

    Draws the likeliest answer first and more at random, until one is accepted or there are --best-of of them.
    """
    from curate.flows.operations import sample as operation

    with progress.on_stderr():
        warehouse, targets = operation.sample(settings, selection)
    render.targets(operation.summary(warehouse, targets), as_json)
