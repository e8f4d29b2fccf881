"""Verbs that judge: evaluate a model, compare selections or methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress
from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

Subject = Annotated[
    str | None, typer.Argument(help="Model folder, hub name or recovery id; the latest recovery by default.")
]


@app.command()
@takes("asking", "scoring", "models", "corpus", "clustering", "seed", "run")
def evaluate(settings: Settings, model: Subject = None, as_json: AsJson = False) -> None:
    """Tell what a model can do, how much of the original it retained, and where it fell below the compressed model.

    Without tasks and models, asks the built-in demo's held-out rows.
    """
    from curate.flows.operations.evaluate import evaluate as ask

    with progress.on_stderr():
        told = ask(settings, model)
    render.evaluation(told, as_json)


@app.command()
@takes("comparing", "asking", "scoring", "models", "corpus", "clustering", "run")
def compare(
    settings: Settings,
    first: Annotated[str | None, typer.Argument(help="Selection id or its beginning; without one, a trial.")] = None,
    second: Annotated[str, typer.Argument(help="Another; the latest by default.")] = "latest",
    plan: Annotated[bool, typer.Option("--plan", help="Print what the trial would cost, and run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two selections; without any, train and evaluate several methods alike and say which beat a random draw.

    Without a corpus and models, the trial runs on the built-in demo. Cells that are done are not run again.
    """
    if first is not None:
        from curate.flows.operations.compare_selections import compare as look

        render.overlap(look(settings.warehouse, first, second), as_json)
        return
    if plan:
        from curate.flows.comparison.cost import price

        render.priced(price(settings), as_json)
        return
    from curate.flows.comparison.run import compare as hold_trial

    with progress.on_stderr():
        told = hold_trial(settings)
    render.trial(told, as_json)
