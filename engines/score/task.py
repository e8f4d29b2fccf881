"""Scoring as work that can be sent to another process: names and settings that open into models on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.engines.models.devices import pair_devices
from curate.engines.models.loading import load_pair
from curate.engines.score.original_cache import recall
from curate.engines.score.scorer import facts, part_scorer

if TYPE_CHECKING:
    from pathlib import Path

    from curate.engines.score.config import ScoreConfig
    from curate.engines.score.scorer import ScorePart


@dataclass(frozen=True)
class Scoring:
    """Scores parts with a pair of models; a `parallel.Task`."""

    original: str | None
    """Folder or hub name, None for a single model or where `teacher` stands for it."""
    compressed: str
    config: ScoreConfig
    dtype: str = "auto"
    trust_remote_code: bool = False
    teacher: Path | None = None
    """Folder in which the original left its states of these parts."""

    def open(self, device: str) -> tuple[dict[str, Any], ScorePart]:
        """Load the models onto `device` and return what a manifest says of them, and what scores a part.

        Raises
        ------
        InputError, UsageError
            As `models.load_pair`.
        """
        teacher = None if self.teacher is None else recall(self.teacher, pair_devices(device)[1])
        pair = load_pair(
            self.original,
            self.compressed,
            device=device,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
        )
        return facts(pair, self.config, teacher), part_scorer(pair, self.config, teacher)
