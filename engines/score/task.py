"""Scoring as a task for workers: names and settings that are opened as models on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from curate.engines.models.checkpoints import model_files
from curate.engines.models.devices import pair_devices
from curate.engines.models.loading import load_pair
from curate.engines.score.original_cache import open_cache
from curate.engines.score.scorer import facts, part_scorer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from curate.engines.score.config import ScoreConfig
    from curate.engines.score.scorer import ScorePart


@dataclass(frozen=True)
class ScoringTask:
    """Scores parts with a pair of models; a `curate.engines.workers.pool.TravellingTask`."""

    original: str | None
    """Folder or hub name; None for a single model, or if `original_cache` replaces the original."""
    compressed: str
    config: ScoreConfig
    dtype: str = "auto"
    trust_remote_code: bool = False
    original_cache: Path | None = None
    """Folder of the original's predictions for the same parts."""

    def open(self, device: str) -> tuple[dict[str, Any], ScorePart]:
        """Load the models onto `device`; return their manifest entry and the function that scores a part.

        Raises
        ------
        InputError, UsageError
            As `curate.engines.models.loading.load_pair`.
        """
        cached = None if self.original_cache is None else open_cache(self.original_cache, pair_devices(device)[1])
        pair = load_pair(
            self.original,
            self.compressed,
            device=device,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
        )
        return facts(pair, self.config, cached), part_scorer(pair, self.config, cached)

    def models(self) -> dict[str, list[Path]]:
        """Return the files of both models by name."""
        return {name: model_files(name) for name in (self.original, self.compressed) if name is not None}

    def with_folders(self, folders: Mapping[str, str]) -> ScoringTask:
        """Return the task with other folders of the same models."""
        original = None if self.original is None else folders.get(self.original, self.original)
        return replace(self, original=original, compressed=folders.get(self.compressed, self.compressed))
