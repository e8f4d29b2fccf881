"""Evaluation as a task for workers: names of a model, its judge and its original that are opened on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from curate.engines.evaluate.harness import run_harness
from curate.engines.evaluate.run import evaluate, window_length
from curate.engines.evaluate.subject import check_pair, load_subject
from curate.engines.models.checkpoints import generation_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from curate.engines.evaluate.run import EvaluateConfig
    from curate.engines.evaluate.subject import Subject
    from curate.engines.workers.pool import ComputePart, Progress


@dataclass(frozen=True)
class HarnessPart:
    """The part of all tasks of lm-eval, which runs them as a whole."""

    tasks: tuple[str, ...]
    limit: int | None


@dataclass(frozen=True)
class EvaluationTask:
    """Evaluates a model on the items of parts; a `curate.engines.workers.pool.TravellingTask`.

    A part is a RecordBatch of schema `ITEMS`, or a `HarnessPart`; its result has the schema `RESULTS`.
    """

    model: str
    """Folder or hub name, as of the other models."""
    config: EvaluateConfig
    judge: str | None = None
    original: str | None = None
    """The model that divergence is measured from; `model` itself for the original."""
    dtype: str = "auto"
    trust_remote_code: bool = False

    def open(self, device: str) -> tuple[dict[str, Any], ComputePart]:
        """Load the models; return the ``window`` in tokens of plain texts and the function that evaluates a part.

        Raises
        ------
        InputError, UsageError
            As `load_subject` and `check_pair`.
        """
        subject = self._loaded(self.model, device)
        judge = None if self.judge is None else self._loaded(self.judge, device)
        length = window_length(subject, self.config)
        original = self._opened_original(subject, length, device)

        def evaluate_part(index: int, part: pa.RecordBatch | HarnessPart, progress: Progress) -> Any:
            if isinstance(part, HarnessPart):
                return run_harness(subject, part.tasks, part.limit)
            return next(evaluate([part], subject, self.config, progress, judge, original))

        return {"window": length}, evaluate_part

    def models(self) -> dict[str, list[Path]]:
        """Return the files of all models by name."""
        names = {self.model, self.judge, self.original} - {None}
        return {name: generation_files(name) for name in sorted(map(str, names))}

    def with_folders(self, folders: Mapping[str, str]) -> EvaluationTask:
        """Return the task with other folders of the same models."""
        judge, original = (None if name is None else folders.get(name, name) for name in (self.judge, self.original))
        return replace(self, model=folders.get(self.model, self.model), judge=judge, original=original)

    def _loaded(self, name: str, device: str) -> Subject:
        return load_subject(name, device=device, dtype=self.dtype, trust_remote_code=self.trust_remote_code)

    def _opened_original(self, subject: Subject, length: int, device: str) -> Subject | None:
        """Return the original, checked against the model; None if no item needs it."""
        if self.original is None or self.original == self.model:
            return None if self.original is None else subject
        original = self._loaded(self.original, device)
        check_pair(subject, original, (self.model, self.original), length)
        return original
