"""The judge of an evaluation: whether one is needed, and what it adds to the causes of an artefact.

Without a judged task a judge adds nothing, so that evaluations that never heard of one keep their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.flows import progress
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

JUDGED = "judged:"
"""What a judged task begins with: no file is taken for one by its columns."""


def judge_of(settings: Settings) -> str | None:
    """Return the folder or hub name of the model that reads answers, None where no task is judged.

    Raises
    ------
    UsageError
        If a task is judged and there is no judge.
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
    """Raise UsageError where a judge is missing, before anything is computed; tell where it has nothing to read."""
    if judge_of(settings) is None and settings.evaluate.judge is not None:
        progress.note("--judge has nothing to read: no task is judged; pass --tasks judged:FILE for it")


def judge_input(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    """Return the digest of the judge's files as an artefact's input, or nothing where no task is judged."""
    from curate.engines.models.checkpoints import model_files

    judge = judge_of(settings)
    return {} if judge is None else {"judge": warehouse.digests.files(model_files(judge))}
