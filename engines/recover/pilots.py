"""Short recoveries that say what training on some rows is worth to others: a loss before, and one after each size.

Every pilot begins with the compressed model as it is stored, uses the training of `curate.engines.recover`, and is
thrown away; nothing is written. Knows nothing of clusters and of how rows were drawn.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curate.engines.evaluate.teacher_forcing import score_answers
from curate.engines.models.output_head import output_head
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.prepare import lay_out, load, load_to_train
from curate.engines.recover.training.loop import autocast, train
from curate.engines.tokens.batching import BatchRunner
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.engines.evaluate.teacher_forcing import TeacherForcingResult
    from curate.engines.recover.prepare import Prepared
    from curate.engines.recover.training.rows import Rows
    from curate.schemas.recovery import RecoveryRequest

    Tell = Callable[[dict[str, Any], int], None]


@dataclass(frozen=True)
class Piloted:
    """What held-out rows lost to pilots of growing size; m held-out rows, s sizes."""

    method: str
    """How the model was trained: lora, mask_lora, …"""
    n_tokens: NDArray[np.int64]
    """Supervised tokens of each held-out row, shape (m,), >= 1."""
    before: NDArray[np.float64]
    """Sum of −log p over them under the model as it is stored, nats, shape (m,), >= 0."""
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
    tell: Tell | None = None,
) -> Piloted:
    """Train the model on the first ``sizes[j]`` of `rows`, for each j anew, and measure the loss on `heldout`.

    Parameters
    ----------
    model : str or Path
        Folder or hub name of the compressed model.
    rows : sequence of RecordBatch, or of turn sequences
        As for `curate.engines.recover.run.recover`; at least as many as the largest size.
    heldout : as `rows`
        At least one row; none of `rows`.
    sizes : sequence of int
        Rows of each pilot, >= 1.
    request : RecoveryRequest
        How it is trained; a reconstruction and a teacher are not part of a pilot.
    original : str or Path, optional
        Tells removed layers, and lends its tokenizer where `model` has none.
    template_digest : str, optional
        Digest of the template that the rows were scored with; another one is refused.
    tell : callable, optional
        Called after every optimiser step, as in `curate.engines.recover.training.loop.train`.

    Raises
    ------
    InputError
        When the model cannot be used, or a row has no supervised token.
    CurateError
        When a pilot diverges; see `curate.engines.recover.training.loop.train`.
    """
    first = None if original is None else str(original)
    layout = lay_out(str(model), rows, request, heldout=heldout, original=first, template_digest=template_digest)
    ready = load(layout, request)
    if ready.n_skipped or len(ready.heldout) != _count(heldout):
        raise InputError(
            f"a pilot has rows without a supervised token within {ready.template.max_length} tokens; "
            "score the corpus again with the same --max-length and --template"
        )
    before = _losses(ready)
    after, tokens = [], []
    for number, size in enumerate(sizes):
        if number:
            _begin_anew(ready, request)
        adaptation = attach(ready.model, ready.method, request)
        peak = request.peak(ready.method)
        done = train(adaptation, ready.rows[:size], request, peak, precision=ready.precision, tell=tell)
        after.append(_losses(ready).nll)
        tokens.append(sum(entry["tokens"] for entry in done.metrics))
        del adaptation
    return Piloted(ready.method, before.tokens, before.nll, np.array(after), tuple(tokens))


def _begin_anew(ready: Prepared, request: RecoveryRequest) -> None:
    """Put the model as it is stored back in place of the one that a pilot trained."""
    del ready.model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    ready.model = load_to_train(ready, request)


def _losses(ready: Prepared) -> TeacherForcingResult:
    training = ready.model.training
    ready.model.eval()
    try:
        with autocast(ready.model.device, ready.precision):
            runner = BatchRunner(ready.batch_tokens)
            return score_answers(ready.model, output_head(ready.model), ready.heldout, runner)
    finally:
        ready.model.train(training)


def _count(rows: Rows) -> int:
    import pyarrow as pa

    return sum(one.num_rows if isinstance(one, pa.RecordBatch) else 1 for one in rows)
