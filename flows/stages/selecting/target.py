"""The rows of ``--target``: a file that is read and scored like a corpus, so that its vectors can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.flows.stages import corpus, scores

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def target_scores_id(warehouse: Warehouse, settings: Settings, path: str) -> str:
    """Return the id that the scores of a target file have or will have; computes nothing."""
    own = _of_target(settings, path)
    return scores.recipe(warehouse, own, corpus.recipe(warehouse, own).id).id


def score_target(warehouse: Warehouse, settings: Settings, path: str) -> str:
    """Read and score a target file with the models and settings of its corpus, and return the scores id.

    Raises
    ------
    InputError
        If the file cannot be read, or has no usable row.
    """
    own = _of_target(settings, path)
    return scores.score(warehouse, own, corpus.ingest(warehouse, own))


def _of_target(settings: Settings, path: str) -> Settings:
    # The map names columns of the corpus, which a target file need not have.
    return settings.model_copy(
        update={"corpus": (path,), "ingest": settings.ingest.model_copy(update={"map": {}, "format": None})}
    )
