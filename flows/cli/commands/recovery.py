"""The verb that trains a compressed model back: recover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress
from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

Selection = Annotated[str, typer.Argument(help="Selection id or its beginning; the latest by default.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Also copy the result to this new folder.")]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on at the last checkpoint of the same recovery, or begin anew.")
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Run one step, keep nothing, and print what all would cost.")]


@app.command()
@takes("recovering", "models", "layout", "seed", "run")
def recover(
    settings: Settings,
    selection: Selection = "latest",
    out: Out = None,
    resume: Resume = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train the compressed model on a selection; zeros stay zeros.

    Corpus and models are those of the selection unless they are given.
    """
    from curate.flows.dispatch import recover as train
    from curate.flows.operations.recover import look_ahead

    if dry_run:
        with progress.on_stderr():
            render.recovery_plan(look_ahead(settings, selection), as_json)
        return
    with progress.on_stderr():
        warehouse, made = train(settings, selection, out, anew=not resume)
    render.recovery(warehouse, made, as_json)
