"""Verbs that make artefacts: ingest, embed, cluster, score, import-scores, select, run."""

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

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would run, and run nothing.")]
Sources = Annotated[list[str] | None, typer.Argument(help="Files, folders or hub:names; the demo where none is given.")]

Stability = Annotated[
    bool, typer.Option("--stability", help="Cluster again with other seeds, numbers and precision, and compare.")
]


@app.command()
@takes("corpus", "run")
def ingest(settings: Settings, sources: Sources = None, as_json: AsJson = False) -> None:
    """Read a corpus: canonical conversations, duplicates merged, unusable rows quarantined."""
    if sources:
        settings = settings.model_copy(update={"corpus": (*settings.corpus, *sources)})
    _make("corpus", settings, as_json)


@app.command()
@takes("corpus", "clustering", "run")
def embed(settings: Settings, as_json: AsJson = False) -> None:
    """Turn every prompt into a vector."""
    _make("embeddings", settings, as_json)


@app.command()
@takes("corpus", "clustering", "seed", "run")
def cluster(settings: Settings, stability: Stability = False, as_json: AsJson = False) -> None:
    """Find capability clusters: diffusion map and spectral NMF on the neighbour graph."""
    if not stability:
        _make("clusters", settings, as_json)
        return
    from curate.flows.operations.cluster_stability import stability as examine

    with progress.on_stderr():
        told = examine(settings)
    render.stability(told, as_json)


@app.command()
@takes("corpus", "models", "scoring", "run")
def score(settings: Settings, as_json: AsJson = False) -> None:
    """Let the model pair read the corpus once: cds, don, nod, nll, entropy, el2n."""
    _make("scores", settings, as_json)


@app.command()
@takes("corpus", "run")
def import_scores(
    settings: Settings,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines: example_id or row, and numbers.")],
    as_json: AsJson = False,
) -> None:
    """Join your own signals to a corpus, for `select --method by-signal --signal NAME` and for SQL."""
    from curate.flows.operations.import_scores import import_scores as join

    with progress.on_stderr():
        told = join(settings, file)
    render.imported(told, as_json)


@app.command(cls=MethodCommand)
@takes("selecting", "method", "corpus", "models", "clustering", "scoring", "seed", "run")
def select(settings: Settings, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Choose the rows to train on; runs every stage that is missing.

    Without a corpus and models, runs on the built-in demo.
    """
    if dry_run:
        _plan(settings, as_json)
    else:
        _select(settings, as_json)


@app.command()
@takes("run")
def run(settings: Settings, as_json: AsJson = False) -> None:
    """Run what curate.toml and CURATE_* describe, from corpus to selection."""
    _select(settings, as_json)


@app.command(cls=MethodCommand)
@takes("selecting", "method", "corpus", "models", "clustering", "scoring", "seed", "run")
def plan(settings: Settings, as_json: AsJson = False) -> None:
    """Print what `curate select` would run, what is cached, and what it would cost."""
    _plan(settings, as_json)


def _plan(settings: Settings, as_json: bool) -> None:
    from curate.flows.operations.plan import plan as predict

    render.plan(predict(settings), as_json)


def _select(settings: Settings, as_json: bool) -> None:
    from curate.flows.dispatch import select as choose
    from curate.flows.operations.pictures import draw_if_possible
    from curate.flows.operations.selection_summary import summary

    with progress.on_stderr():
        warehouse, chosen = choose(settings)
        picture = draw_if_possible(warehouse, chosen)
    render.selection(summary(warehouse, chosen, picture), as_json)


def _make(noun: Noun, settings: Settings, as_json: bool) -> None:
    from curate.flows.operations.pictures import draw_curve_if_possible
    from curate.flows.session import make

    with progress.on_stderr():
        warehouse, made = make(noun, settings)
        picture = draw_curve_if_possible(warehouse, made) if noun == "clusters" else None
    render.artefact(warehouse, noun, made, picture, as_json)
