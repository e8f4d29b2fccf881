"""The verbs ``curate evaluate`` and ``curate compare``."""

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
@takes("asking", "scoring", "models", "corpus", "clustering", "engine", "seed", "run")
def evaluate(settings: Settings, model: Subject = None, as_json: AsJson = False) -> None:
    """Evaluate a model and its retention of the original.

    Prints scores, how much of the original's ability the model retained, and where it fell below the compressed model.
    Without tasks and models, evaluates the built-in demo on its held-out rows.
    """
    from curate.flows.operations import evaluate as operation

    with progress.on_stderr():
        report = operation.evaluate(settings, model)
    render.evaluation(report, as_json)


@app.command()
@takes("comparing", "asking", "scoring", "models", "corpus", "clustering", "engine", "run")
def compare(
    settings: Settings,
    first: Annotated[
        str | None, typer.Argument(help="Selection id or its beginning; omit it to compare methods.")
    ] = None,
    second: Annotated[str, typer.Argument(help="Second selection; the latest by default.")] = "latest",
    plan: Annotated[bool, typer.Option("--plan", help="Print the cost of the comparison and run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two selections, or several selection methods.

    Given a selection, compares it with another. Without one, selects, trains and evaluates with each of several methods
    and tests which of them beat a random draw; without a corpus and models on the built-in demo. Finished cells are not
    run again.
    """
    if first is not None:
        from curate.flows.operations import compare_selections

        render.overlap(compare_selections.compare(settings, first, second), as_json)
        return
    if plan:
        from curate.flows.comparison.cost import estimate

        render.comparison_plan(estimate(settings), as_json)
        return
    from curate.flows.comparison import run

    with progress.on_stderr():
        report = run.compare(settings)
    render.comparison(report, as_json)
