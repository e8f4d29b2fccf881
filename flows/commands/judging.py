"""Verbs that judge models: evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress, render
from curate.flows.commands import app
from curate.flows.options import AsJson, takes

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

Subject = Annotated[str | None, typer.Argument(help="Model folder or hub name; --compressed where none is given.")]


@app.command()
@takes("asking", "models", "corpus", "run")
def evaluate(settings: Settings, model: Subject = None, as_json: AsJson = False) -> None:
    """Tell what a model can do, how much of the original it retained, and where it fell below the compressed model.

    Without tasks and models, asks the built-in demo's held-out rows.
    """
    from curate.flows.evaluating import evaluate as ask

    with progress.on_stderr():
        told = ask(settings, model)
    render.evaluation(told, as_json)
