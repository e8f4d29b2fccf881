"""Cells of a comparison as parts of a task for workers of a cluster: a part is trained on, then evaluated.

A worker loads models anew for every cell, as a local comparison does, and predicts the rows of a cell by the original
itself: what a cell gives does not depend on which others the worker was given before.
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from curate.engines.recover import Observer, RecoveryContext, recover
from curate.schemas.peak_memory import peak_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from curate.engines.evaluate.task import EvaluationTask
    from curate.engines.workers.pool import ComputePart, Progress
    from curate.schemas.recovery import RecoveryRequest


@dataclass(frozen=True)
class CellTraining:
    """What one cell trains on, and how."""

    rows: tuple[pa.RecordBatch, ...]
    request: RecoveryRequest


@dataclass(frozen=True)
class CellResult:
    """What the trained model of a cell said, and what it cost."""

    tables: dict[int, pa.Table]
    """Schema `RESULTS`, by the number of the part of the items."""
    window: int
    """Tokens of the windows of plain texts."""
    report: dict[str, Any]
    """Of the training."""
    seconds_training: float
    seconds_asking: float
    worker: dict[str, Any]
    """Node, device and peak memory, for the manifest."""


@dataclass(frozen=True)
class CellTask:
    """Trains and evaluates cells; a `curate.engines.workers.pool.TravellingTask`.

    A part is a `CellTraining`, its result a `CellResult`.
    """

    evaluation: EvaluationTask
    """Of the compressed model; its trained copies are evaluated alike."""
    original: str
    items: Mapping[int, Any]
    """The parts that each model is evaluated on, by number."""

    def open(self, device: str) -> tuple[dict[str, Any], ComputePart]:
        """Return no facts, and the function that trains and evaluates on `device`."""

        def run(index: int, cell: CellTraining, progress: Progress) -> CellResult:
            with TemporaryDirectory(prefix="curate-cell-") as place:
                return self._run(Path(place), cell, device, progress)

        return {}, run

    def models(self) -> dict[str, list[Path]]:
        """Return the files of all models by name."""
        from curate.engines.models.checkpoints import generation_files

        return {self.original: generation_files(self.original), **self.evaluation.models()}

    def with_folders(self, folders: Mapping[str, str]) -> CellTask:
        """Return the task with other folders of the same models."""
        original = folders.get(self.original, self.original)
        return replace(self, evaluation=self.evaluation.with_folders(folders), original=original)

    def _run(self, folder: Path, cell: CellTraining, device: str, progress: Progress) -> CellResult:
        began = time.monotonic()
        report = recover(
            self.evaluation.model,
            cell.rows,
            folder / "model",
            replace(cell.request, device=device),
            original=self.original,
            context=RecoveryContext(work=folder / "work"),
            observer=Observer(on_step=lambda step, total: progress(cell.request.step_rows(len(cell.rows)))),
        )
        trained = time.monotonic()
        facts, evaluate_part = replace(self.evaluation, model=str(folder / "model")).open(device)
        tables = {index: evaluate_part(index, part, progress) for index, part in self.items.items()}
        evaluated = time.monotonic()
        worker = {"node": platform.node(), "device": device, "peak_memory_mb": round(peak_memory() / 2**20, 1)}
        return CellResult(tables, facts["window"], report, trained - began, evaluated - trained, worker)
