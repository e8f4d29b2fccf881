"""Estimates a recovery: exact counts of trained parameters and tokens; time and memory from one step that is discarded.

Loads the model, because the speed of training on a machine has to be measured. Writes no results.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.recover.methods.attach import attach
from curate.engines.recover.methods.layers import with_chosen_layers
from curate.engines.recover.prepare import load_setup, prepare_recovery
from curate.engines.recover.results.report import facts_of_layers, peak_memory
from curate.engines.recover.training.distillation import batch_loss
from curate.engines.recover.training.elastic_widths import elastic_widths
from curate.engines.recover.training.loop import autocast
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.original_predictions import PredictionCache, predict_rows
from curate.engines.recover.training.rows import BatchPlan, make_batch
from curate.engines.score.original_cache import row_key
from curate.engines.tokens.batching import token_batches

if TYPE_CHECKING:
    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.prepare import LoadedSetup, RecoverySetup
    from curate.engines.recover.training.original_predictions import OriginalPredictions
    from curate.engines.recover.training.rows import BatchLoss, Rows
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

MOMENT_BYTES = 8
"""Bytes of AdamW's two float32 moments per trained parameter. The optimiser's first step allocates them, which an
estimate does not take."""

FORWARD_SHARE = 1 / 3
"""Share of a forward pass in the arithmetic of a training step; the backward pass costs about twice as much."""


def estimate(
    model: str,
    rows: Rows,
    request: RecoveryRequest,
    *,
    heldout: Rows = (),
    original: str | None = None,
    template_digest: str | None = None,
    cache: PredictionCache | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Return what `curate.engines.recover.recover` would do with the same arguments, and its cost.

    Returns
    -------
    dict, JSON-able
        ``method``, ``reason``, ``detected``; ``parameters``, ``trainable``, ``trainable_share``; ``rows``,
        ``rows_skipped``, ``rows_heldout``; ``processes`` and ``steps``; ``tokens`` of all passes without padding;
        ``seconds``, including all perplexities and the original's pass over rows without stored predictions, but
        not a reconstruction; ``memory`` in bytes, of the device or of the process; ``device``, ``dtype``; ``layers``
        where not all are trained; and with a teacher's weight ``teacher``: the ``rows`` with stored predictions,
        ``rows_to_read`` and ``tokens_to_read`` without, and the ``bytes`` on disk that these will take.

    Raises
    ------
    As `recover`, for every error that is detected before training.
    """
    setup = prepare_recovery(model, rows, request, heldout=heldout, original=original, template_digest=template_digest)
    request = with_chosen_layers(setup, original, request)
    plan = BatchPlan(len(setup.rows), request.step_rows(len(setup.rows)), request.epochs, request.seed)
    first_pass = _first_pass(setup, plan)
    # The original is loaded and freed before the model, as in the job, so that the peak is that of the larger phase.
    predictions, teacher = _teacher_estimate(setup, original, request, cache, first_pass)
    loaded = load_setup(setup, request)
    elastic_widths(loaded, request)  # refuses a model that is not sorted
    parameters = sum(one.numel() for one in loaded.model.parameters())
    adaptation = attach(loaded.model, loaded.method, request)
    lengths = [len(item.ids) for item in loaded.rows]
    tokens = sum(lengths[row] for step in range(plan.steps) for row in plan.rows(step))
    loss = batch_loss(loaded, predictions, request) or (lambda batch: response_loss(loaded.model, batch))
    speed = _tokens_per_second(loaded, adaptation, request, first_pass, loss)
    # Before, after and as written; and before and after at each width.
    perplexities = 3 + 2 * len(request.elastic)
    forward_tokens = perplexities * sum(len(item.ids) for item in loaded.heldout) + teacher.get("tokens_to_read", 0)
    # Choosing tokens takes a pass of its own over every step.
    forward_tokens += tokens if request.token_share < 1 else 0
    # On a CPU several processes share the same cores.
    speedup = processes if loaded.device.type == "cuda" else 1
    return {
        "method": loaded.method,
        "reason": loaded.reason,
        "detected": loaded.findings.to_json(),
        "parameters": parameters,
        "trainable": adaptation.n_trainable,
        "trainable_share": adaptation.n_trainable / parameters,
        "rows": len(loaded.rows),
        "rows_skipped": loaded.n_skipped,
        "rows_heldout": len(loaded.heldout),
        "processes": processes,
        "steps": plan.steps,
        "tokens": tokens,
        "seconds": (tokens / speedup + FORWARD_SHARE * forward_tokens) / speed,
        "memory": peak_memory() + MOMENT_BYTES * adaptation.n_trainable,
        "device": str(loaded.model.device),
        "dtype": str(loaded.precision).removeprefix("torch."),
        **facts_of_layers(request),
        **({"teacher": teacher} if teacher else {}),
    }


def _first_pass(setup: RecoverySetup, plan: BatchPlan) -> list[Encoded]:
    """Return the rows of the first step's largest forward and backward pass."""
    rows = [setup.rows[row] for row in plan.rows(0)]
    first = token_batches([len(item.ids) for item in rows], range(len(rows)), setup.batch_tokens)[0]
    return [rows[row] for row in first]


def _teacher_estimate(
    setup: RecoverySetup,
    original: str | None,
    request: RecoveryRequest,
    cache: PredictionCache | None,
    rows: list[Encoded],
) -> tuple[OriginalPredictions | None, dict[str, Any]]:
    """Return the original's predictions of `rows` and the cost of those that are missing for all rows."""
    if original is None or not request.asks_original:
        return None, {}
    with tempfile.TemporaryDirectory() as temporary:
        source = cache or PredictionCache.in_work_folder(Path(temporary), original)
        stored = source.matches(setup.precision, request.teacher_top)[0]
        missing = [item for item in setup.rows if row_key(item) not in stored]
        predictions = predict_rows(setup, original, request, source, rows, new_folder=Path(temporary))
        # Opens the files of these rows, which stay readable after the folder is deleted.
        predictions.lookup(rows)
        return predictions, {
            "rows": len(setup.rows) - len(missing),
            "rows_to_read": len(missing),
            "tokens_to_read": sum(len(item.ids) for item in missing),
            "bytes": int(predictions.bytes_per_token() * sum(item.n_response for item in missing)),
        }


def _tokens_per_second(
    loaded: LoadedSetup, adaptation: Adaptation, request: RecoveryRequest, rows: list[Encoded], compute_loss: BatchLoss
) -> float:
    """Return the speed of one forward and backward pass, the second time it is run: the first includes warming up."""
    batch = make_batch(rows, loaded.model.device)
    adaptation.model.train()
    if request.gradient_checkpointing:
        adaptation.model.gradient_checkpointing_enable({"use_reentrant": False})
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        with torch.random.fork_rng(), autocast(loaded.model.device, loaded.precision):
            loss = compute_loss(batch)
            loss.backward()
            # CUDA runs asynchronously; reading the value waits for it.
            loss.item()
        seconds = time.perf_counter() - started
    return batch.n_tokens / seconds
