"""The original that divergence is measured from: whether one is needed, and its contribution to an artefact's inputs.

Without a divergence task the original is not an input, so that the ids of other evaluations do not depend on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

DIVERGENCE = "divergence:"
"""Prefix of a divergence task, which is required: a file is never recognised as one by its columns."""


def original_of(settings: Settings) -> str | None:
    """Return the folder or hub name of the original, or None if no task measures the divergence from it.

    Raises
    ------
    UsageError
        If a task does and no original is set.
    """
    tasks = [word for word in settings.evaluate.tasks if word.startswith(DIVERGENCE)]
    if not tasks:
        return None
    if settings.original is None:
        raise UsageError(
            f"--tasks {tasks[0]!r} measures how far a model is from the original; pass --original with the folder or "
            "hub name of the model before compression"
        )
    return settings.original


def original_input(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    """Return the digest of the original's files as an artefact's input; empty if no task needs it."""
    from curate.engines.models.checkpoints import model_files

    original = original_of(settings)
    return {} if original is None else {"original": warehouse.digests.files(model_files(original))}
