"""The pipeline: corpus → embeddings → clusters → scores → pilots → selection, each only if the method needs it.

The one body of both ways to run: the command line calls the stages directly, Prefect submits them as tasks. Whoever
calls passes ``call``, which takes a stage and its arguments and returns the artefact id or a promise of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import stages
from curate.flows.stages import scores
from curate.flows.stages.selection import method_settings
from curate.schemas.budget import parse_budget
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def needed(settings: Settings) -> frozenset[str]:
    """Return the upstream nouns that the chosen method reads, besides the corpus.

    Raises
    ------
    UsageError, InputError
        If the budget or the method cannot mean anything, or a model is missing: told before anything is computed.
    """
    from curate.selectors.registry import selector

    budget = parse_budget(settings.select.budget)
    wants = selector(settings.select.method).needs(method_settings(settings), budget.in_tokens)
    nouns = {"scores"} if wants - {"embeddings", "clusters", "concepts", "reference", "imported"} else set()
    if wants & {"clusters", "concepts"} or "semantic" in settings.select.near_duplicates:
        nouns |= {"clusters", "embeddings"}
    if "embeddings" in wants:
        nouns.add("embeddings")
    if "gain_ceiling" in wants:
        nouns.add("pilots")
    if "scores" in nouns and settings.corpus and settings.compressed is None:
        raise InputError(
            f"method {settings.select.method!r} reads scores, and no model was given; "
            "pass --compressed FOLDER, and --original FOLDER for a pair"
        )
    if "pilots" in nouns and settings.corpus and None in (settings.original, settings.compressed):
        raise UsageError(
            "--allocation recoverability trains the compressed model on a few rows and measures on those that the "
            "original finds likely; pass --compressed FOLDER and --original FOLDER, or choose another allocation"
        )
    if "cds" in wants and settings.original is None and settings.compressed is not None:
        raise UsageError(
            f"method {settings.select.method!r} compares two models, and only one was given; "
            "pass --original too, or choose --method donod"
        )
    return frozenset(nouns)


def run(warehouse: Warehouse, settings: Settings, call: Callable[..., Any]) -> Any:
    """Run every stage that the selection needs and return what `call` gave for the last."""
    needs = needed(settings)
    if "scores" in needs:
        scores.check(warehouse, settings)
    corpus = call(stages.ingest, warehouse, settings)
    embeddings = call(stages.embed, warehouse, settings, corpus) if "embeddings" in needs else None
    clusters = call(stages.cluster, warehouse, settings, corpus, embeddings) if "clusters" in needs else None
    scored = call(stages.score, warehouse, settings, corpus) if "scores" in needs else None
    piloted = (call(stages.pilot, warehouse, settings, corpus, clusters, scored),) if "pilots" in needs else ()
    return call(stages.choose, warehouse, settings, corpus, embeddings, clusters, scored, *piloted)


def directly(stage: Callable[..., Any], *arguments: Any) -> Any:
    """Call a stage here and now."""
    return stage(*arguments)
