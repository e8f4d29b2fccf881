"""The verb ``curate recover``."""

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
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Also copy the result to this new folder.", callback=local_folder)
]
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Resume from the last checkpoint of the same recovery, or start over."),
]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Run one step, keep nothing, and print the cost of the whole recovery.")
]


@app.command()
@takes("recovering", "models", "layout", "engine", "seed", "run")
def recover(
    settings: Settings,
    selection: Selection = "latest",
    out: Out = None,
    resume: Resume = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train the compressed model on a selection.

    Pruned weights stay zero. Corpus and models are those of the selection unless they are given.
    """
    from curate.flows import dispatch
    from curate.flows.operations.artefact_summary import recovery_summary
    from curate.flows.operations.recover import look_ahead

    if dry_run:
        with progress.on_stderr():
            plan = look_ahead(settings, selection)
        render.recovery_plan(plan, as_json)
        return
    with progress.on_stderr():
        warehouse, recovery_id = dispatch.recover(settings, selection, out, anew=not resume)
    render.recovery(recovery_summary(warehouse, recovery_id), as_json)
