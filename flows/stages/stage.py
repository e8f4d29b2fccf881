"""The one table of stages: which verb makes which noun, from what, and how its id is known beforehand.

`pipeline`, `plan`, the single-stage verbs, the comparison and the run records all read it. To add a stage, write its
file in this folder and add one line to `STAGES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.flows.stages import (
    clusters,
    comparison_cell,
    corpus,
    embeddings,
    evaluation,
    pilots,
    recovery,
    scores,
    selection,
    targets,
    token_counts,
)
from curate.flows.stages.diagnosing import experts, layers, paths, prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.flows.stages.recipe import Recipe
    from curate.flows.stages.selecting.request import SelectionRequest
    from curate.schemas.artefacts import Noun
    from curate.schemas.settings import Settings


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline: reads immutable artefacts, writes one."""

    verb: str
    """What the command line calls it."""
    noun: Noun
    """What it makes."""
    run: Callable[..., str]
    """``run(warehouse, settings, *ids) -> artefact id``; returns at once where the artefact exists."""
    recipe: Callable[..., Recipe]
    """The same arguments, to the recipe whose id `run` will return; computes nothing."""
    inputs: tuple[Noun, ...] = ()
    """Artefacts that it is called with, in this order; an id is None where the request does not need that noun."""
    takes_request: bool = False
    """Whether it is called with the `SelectionRequest` instead of the settings."""

    def arguments(self, settings: Settings, request: SelectionRequest | None, ids: Mapping[Noun, Any]) -> list[Any]:
        """Return what follows the warehouse in a call of `run` or `recipe`."""
        return [request if self.takes_request else settings, *(ids.get(noun) for noun in self.inputs)]


STAGES: tuple[Stage, ...] = (
    Stage("ingest", "corpus", corpus.ingest, corpus.recipe),
    Stage("count", "tokens", token_counts.count, token_counts.recipe, ("corpus",)),
    Stage("embed", "embeddings", embeddings.embed, embeddings.recipe, ("corpus",)),
    Stage("cluster", "clusters", clusters.cluster, clusters.recipe, ("corpus", "embeddings")),
    Stage("score", "scores", scores.score, scores.recipe, ("corpus",)),
    Stage("pilot", "pilots", pilots.pilot, pilots.recipe, ("corpus", "clusters", "scores")),
    Stage("select", "selection", selection.choose, selection.recipe, selection.INPUTS, takes_request=True),
    Stage("sample", "targets", targets.sample, targets.recipe, ("selection",)),
    Stage("recover", "recovery", recovery.recover, recovery.recipe, ("selection",)),
    Stage("evaluate", "evaluation", evaluation.evaluate, evaluation.recipe),
    Stage("diagnose", "diagnosis", layers.diagnose, layers.recipe, ("corpus",)),
    Stage("diagnose experts", "diagnosis", experts.diagnose, experts.recipe, ("corpus", "clusters")),
    Stage("diagnose prompts", "diagnosis", prompts.diagnose, prompts.recipe),
    Stage("diagnose paths", "diagnosis", paths.diagnose, paths.recipe),
    Stage("compare", "evaluation", comparison_cell.trial, comparison_cell.recipe, ("selection",)),
)
"""In the order in which they run; up to ``selection`` the pipeline calls those that a request needs."""


def stage_of(run: Callable[..., Any]) -> Stage:
    """Return the stage whose function is `run`."""
    return next(stage for stage in STAGES if stage.run is run)


def stages_before(noun: Noun) -> tuple[Stage, ...]:
    """Return the stages that must run to make `noun`, itself included, in their order."""
    needed: set[Noun] = {noun}
    for stage in reversed(STAGES):
        if stage.noun in needed:
            needed.update(stage.inputs)
    last = next(place for place, stage in enumerate(STAGES) if stage.noun == noun)
    return tuple(stage for stage in STAGES[: last + 1] if stage.noun in needed)
