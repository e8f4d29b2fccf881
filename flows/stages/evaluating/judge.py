"""The judge model of an evaluation: whether one is needed, and its contribution to the inputs of an artefact.

Without a judged task the judge is not an input, so that setting one does not change the ids of other evaluations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.flows import progress
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

JUDGED = "judged:"
"""Prefix of a judged task, which is required: a file is never recognised as judged by its columns."""


def judge_of(settings: Settings) -> str | None:
    """Return the folder or hub name of the judge model, or None if no task is judged.

    Raises
    ------
    UsageError
        If a task is judged and no judge is set.
    """
    judged = [word for word in settings.evaluate.tasks if word.startswith(JUDGED)]
    if not judged:
        return None
    if settings.evaluate.judge is None:
        raise UsageError(
            f"--tasks {judged[0]!r} needs a model that reads the answers; pass --judge with its folder or hub name"
        )
    return settings.evaluate.judge


def check_judge(settings: Settings) -> None:
    """Raise UsageError if a judge is missing, before anything is computed; log a note if it has no effect."""
    if judge_of(settings) is None and settings.evaluate.judge is not None:
        progress.note("--judge has no effect: no task is judged; pass --tasks judged:FILE to use it")


def judge_input(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    """Return the digest of the judge's files as an artefact's input; empty if no task is judged."""
    from curate.engines.models.checkpoints import model_files

    judge = judge_of(settings)
    return {} if judge is None else {"judge": warehouse.digests.files(model_files(judge))}
