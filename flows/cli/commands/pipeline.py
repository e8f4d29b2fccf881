"""Verbs that create artefacts: ingest, embed, cluster, score, import-scores, select, run; and plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.flows import progress
from curate.flows.cli import render
from curate.flows.cli.app import app
from curate.flows.cli.method_options import MethodCommand
from curate.flows.cli.options import AsJson, takes

if TYPE_CHECKING:
    from curate.schemas.artefacts import Noun
    from curate.schemas.settings import Settings

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and run nothing.")]
Sources = Annotated[list[str] | None, typer.Argument(help="Files, folders or hub:names; the demo by default.")]

Stability = Annotated[
    bool,
    typer.Option("--stability", help="Cluster again with other seeds, numbers of clusters and precision, and compare."),
]


@app.command()
@takes("corpus", "run")
def ingest(settings: Settings, sources: Sources = None, as_json: AsJson = False) -> None:
    """Read a corpus into the warehouse.

    Converts rows to conversations, merges exact duplicates and quarantines unusable rows.
    """
    if sources:
        settings = settings.model_copy(update={"corpus": (*settings.corpus, *sources)})
    _make("corpus", settings, as_json)


@app.command()
@takes("corpus", "clustering", "engine", "run")
def embed(settings: Settings, as_json: AsJson = False) -> None:
    """Compute an embedding of every prompt."""
    _make("embeddings", settings, as_json)


@app.command()
@takes("corpus", "clustering", "engine", "seed", "run")
def cluster(settings: Settings, stability: Stability = False, as_json: AsJson = False) -> None:
    """Find capability clusters of the corpus.

    Uses a diffusion map and spectral NMF on the neighbour graph of the embeddings.
    """
    if not stability:
        _make("clusters", settings, as_json)
        return
    from curate.flows.operations import cluster_stability

    with progress.on_stderr():
        report = cluster_stability.stability(settings)
    render.stability(report, as_json)


@app.command()
@takes("corpus", "models", "scoring", "engine", "run")
def score(settings: Settings, as_json: AsJson = False) -> None:
    """Score every example with the model pair.

    One pass over the corpus computes cds, don, nod, nll, entropy and el2n.
    """
    _make("scores", settings, as_json)


@app.command()
@takes("corpus", "run")
def import_scores(
    settings: Settings,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines: example_id or row, and numbers.")],
    as_json: AsJson = False,
) -> None:
    """Import your own signals for the corpus.

    They can be used by `select --method by-signal --signal NAME` and in SQL.
    """
    from curate.flows.operations import import_scores as operation

    with progress.on_stderr():
        summary = operation.import_scores(settings, file)
    render.imported(summary, as_json)


@app.command(cls=MethodCommand)
@takes("selecting", "method", "corpus", "models", "clustering", "scoring", "engine", "seed", "run")
def select(settings: Settings, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Choose the rows to train on.

    Runs every stage that is missing. Without a corpus and models, runs on the built-in demo.
    """
    if dry_run:
        _plan(settings, as_json)
    else:
        _select(settings, as_json)


@app.command()
@takes("run")
def run(settings: Settings, as_json: AsJson = False) -> None:
    """Run the pipeline as configured in curate.toml.

    The same as `select` with all settings from curate.toml and CURATE_* in the environment.
    """
    _select(settings, as_json)


@app.command(cls=MethodCommand)
@takes("selecting", "method", "corpus", "models", "clustering", "scoring", "engine", "seed", "run")
def plan(settings: Settings, as_json: AsJson = False) -> None:
    """Show what `select` would run and its cost, and that of samples and of a recovery.

    Lists the stages, which of them are cached, and an estimate for the others.
    """
    _plan(settings, as_json, with_recovery=True)


def _plan(settings: Settings, as_json: bool, with_recovery: bool = False) -> None:
    from curate.flows.operations import plan as operation

    render.plan(operation.plan(settings, with_recovery=with_recovery), as_json)


def _select(settings: Settings, as_json: bool) -> None:
    from curate.flows import dispatch
    from curate.flows.operations.pictures import draw_if_possible
    from curate.flows.operations.selection_summary import summary

    with progress.on_stderr():
        warehouse, selection_id = dispatch.select(settings)
        picture = draw_if_possible(warehouse, selection_id)
    render.selection(summary(warehouse, selection_id, picture), as_json)


def _make(noun: Noun, settings: Settings, as_json: bool) -> None:
    from curate.flows.operations.artefact_summary import summary
    from curate.flows.operations.pictures import draw_curve_if_possible
    from curate.flows.session import make

    with progress.on_stderr():
        warehouse, artefact_id = make(noun, settings)
        picture = draw_curve_if_possible(warehouse, artefact_id) if noun == "clusters" else None
    render.artefact(summary(warehouse, noun, artefact_id, picture), as_json)
