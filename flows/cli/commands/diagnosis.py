"""The verb ``curate diagnose``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress
from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.options import AsJson, takes

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

diagnose = typer.Typer(
    name="diagnose",
    help="Measure what the parts of a model contribute, and how steady its scores are.",
    no_args_is_help=True,
)
app.add_typer(diagnose)


@diagnose.command()
@takes("diagnosing", "corpus", "layout", "seed", "run")
def layers(
    settings: Settings,
    model: Annotated[str, typer.Argument(help="Model folder or hub name.")],
    as_json: AsJson = False,
) -> None:
    """Measure every decoder layer on rows of --corpus.

    influence, change and angle compare the hidden states before and after a layer; --leave-one-out adds the rise of
    the loss without it; --original adds the distance from the original model's hidden states.
    """
    from curate.flows.operations.diagnose_layers import diagnose_layers

    with progress.on_stderr():
        report = diagnose_layers(settings, model)
    render.layers(report, as_json)


@diagnose.command()
@takes("expert-diagnosis", "corpus", "clustering", "layout", "seed", "run")
def experts(
    settings: Settings,
    model: Annotated[str, typer.Argument(help="Folder or hub name of a mixture of experts.")],
    as_json: AsJson = False,
) -> None:
    """Measure how much rows of --corpus use each expert of a mixture, all together or those of each cluster.

    usage is the share of the router's choices, gate mass the mean gate, output norm the mean norm of an expert's
    output; effective is the number of experts that, used equally, would have the usage's entropy.
    """
    from curate.flows.operations.diagnose_experts import diagnose_experts

    with progress.on_stderr():
        report = diagnose_experts(settings, model)
    render.experts(report, as_json)


@diagnose.command()
@takes("wording", "layout", "seed", "run")
def prompts(
    settings: Settings,
    model: Annotated[str, typer.Argument(help="Model folder or hub name.")],
    as_json: AsJson = False,
) -> None:
    """Measure how a score moves over wordings (experimental).

    Puts each wording before the questions of --tasks choice:FILE and prints score and spread; with --original also
    whether the damage, original − model, is above the spread. --keep and --length choose wordings on one half of the
    items and measure on the other. Nothing that was chosen enters an evaluation.
    """
    from curate.flows.operations.diagnose_prompts import diagnose_prompts

    with progress.on_stderr():
        report = diagnose_prompts(settings, model)
    render.wordings(report, as_json)


@diagnose.command()
@takes("path-search", "layout", "seed", "run")
def paths(
    settings: Settings,
    model: Annotated[str, typer.Argument(help="Model folder or hub name.")],
    as_json: AsJson = False,
) -> None:
    """Search for layers that single questions can do without (experimental).

    For one half of the items of --tasks choice:FILE, and knowing their answers, it searches for layers to skip so that
    the model answers rightly. Then it applies the most frequent such paths to the other half, beside the whole model
    and random paths of the same length: only that half says anything about the model.
    """
    from curate.flows.operations.diagnose_paths import diagnose_paths

    with progress.on_stderr():
        report = diagnose_paths(settings, model)
    render.paths(report, as_json)
