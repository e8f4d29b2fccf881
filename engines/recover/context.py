"""Surroundings of a recovery: work folder, origin of the rows, cache of predictions, group of processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.engines.recover.training.processes import SINGLE_PROCESS, ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from curate.engines.recover.training.original_predictions import PredictionCache


@dataclass(frozen=True)
class RecoveryContext:
    """Where a recovery runs and where its rows come from. The defaults suit a call from Python."""

    work: str | Path | None = None
    """Folder for checkpoints, kept until the result is written. With equal inputs, a second call resumes at the last
    checkpoint, bit for bit on a CPU. Without a folder nothing is kept."""
    template_digest: str | None = None
    """Digest of the template that the rows were scored with; another one is refused."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Origin of the rows, for the model card."""
    cache: PredictionCache | None = None
    """Where the original's predictions are stored; in `work` by default."""
    group: ProcessGroup = SINGLE_PROCESS
    """The processes that train together. Each makes the same call, with the same rows and folders."""


STANDALONE = RecoveryContext()
"""A run without checkpoints, cache and other processes."""
