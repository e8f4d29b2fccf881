"""Pilot recoveries: short trainings on growing subsets of rows, with the loss on held-out rows before and after each.

Every pilot starts from the compressed model as it is stored, uses the training loop of `curate.engines.recover`, and is
discarded; no files are written.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from curate.engines.evaluate.teacher_forcing import score_answers
from curate.engines.models.output_head import output_head
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.prepare import load_for_training, load_setup, prepare_recovery
from curate.engines.recover.training.loop import autocast, train
from curate.engines.tokens.batching import BatchRunner
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.engines.evaluate.teacher_forcing import TeacherForcingResult
    from curate.engines.recover.prepare import LoadedSetup
    from curate.engines.recover.training.rows import Rows
    from curate.schemas.recovery import RecoveryRequest


@dataclass(frozen=True)
class PilotResult:
    """Loss of m held-out rows before and after s pilots of growing size."""

    method: str
    """Recovery method: lora, mask_lora, …"""
    n_tokens: NDArray[np.int64]
    """Supervised tokens of each held-out row, shape (m,), >= 1."""
    before: NDArray[np.float64]
    """Sum of −log p over them under the stored model, nats, shape (m,), >= 0."""
    after: NDArray[np.float64]
    """The same after each pilot, shape (s, m)."""
    trained_tokens: tuple[int, ...]
    """Tokens of all passes of each pilot, without padding."""


def run_pilots(
    model: str | Path,
    rows: Rows,
    heldout: Rows,
    sizes: Sequence[int],
    request: RecoveryRequest,
    *,
    original: str | Path | None = None,
    template_digest: str | None = None,
) -> PilotResult:
    """Train the stored model on the first ``sizes[j]`` of `rows`, for each j, and measure the loss on `heldout`.

    Parameters
    ----------
    model : str or Path
        Folder or hub name of the compressed model.
    rows : sequence of RecordBatch, or of turn sequences
        As for `curate.engines.recover.recover`; at least as many as the largest size.
    heldout : as `rows`
        At least one row; none of `rows`.
    sizes : sequence of int
        Rows of each pilot, >= 1.
    request : RecoveryRequest
        Training settings; a reconstruction and a teacher are ignored.
    original : str or Path, optional
        Reveals removed layers, and provides a tokenizer if `model` has none.
    template_digest : str, optional
        Digest of the template that the rows were scored with; another one is refused.

    Raises
    ------
    InputError
        When the model cannot be used, or a row has no supervised token.
    CurateError
        When a pilot diverges; see `curate.engines.recover.training.loop.train`.
    """
    original_name = None if original is None else str(original)
    setup = prepare_recovery(
        str(model), rows, request, heldout=heldout, original=original_name, template_digest=template_digest
    )
    loaded = load_setup(setup, request)
    # Skipped rows would make pilots smaller than their sizes, which the gain curves are fitted to.
    if loaded.n_skipped or len(loaded.heldout) != _count(heldout):
        raise InputError(
            f"a pilot has rows without a supervised token within {loaded.template.max_length} tokens; "
            "score the corpus again with the same --max-length and --template"
        )
    before = _heldout_loss(loaded)
    after, tokens = [], []
    for number, size in enumerate(sizes):
        if number:
            _reload(loaded, request)
        adaptation = attach(loaded.model, loaded.method, request)
        progress = train(adaptation, loaded.rows[:size], request, precision=loaded.precision)
        after.append(_heldout_loss(loaded).nll)
        tokens.append(sum(entry["tokens"] for entry in progress.metrics))
        # Holds the trained model, which must be freed before the next one is loaded.
        del adaptation
    return PilotResult(loaded.method, before.tokens, before.nll, np.array(after), tuple(tokens))


def _reload(loaded: LoadedSetup, request: RecoveryRequest) -> None:
    """Replace the model that a pilot trained by the stored one."""
    del loaded.model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    loaded.model = load_for_training(loaded, request)


def _heldout_loss(loaded: LoadedSetup) -> TeacherForcingResult:
    training = loaded.model.training
    loaded.model.eval()
    try:
        with autocast(loaded.model.device, loaded.precision):
            runner = BatchRunner(loaded.batch_tokens)
            return score_answers(loaded.model, output_head(loaded.model), loaded.heldout, runner)
    finally:
        loaded.model.train(training)


def _count(rows: Rows) -> int:
    return sum(one.num_rows if isinstance(one, pa.RecordBatch) else 1 for one in rows)
