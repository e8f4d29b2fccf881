"""What a recovery would cost: exact counts of what is trained and read, time and memory from one step that is not kept.

Loads the model, since nothing less tells how fast it trains here. Writes nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.batching import token_batches
from curate.engines.recover.job import loss_of, peak_memory
from curate.engines.recover.loss import response_loss
from curate.engines.recover.methods import attach
from curate.engines.recover.prepare import load_original, prepare
from curate.engines.recover.rows import Plan, make_batch
from curate.engines.recover.training import autocast

if TYPE_CHECKING:
    from curate.engines.recover.methods import Adaptation
    from curate.engines.recover.prepare import Prepared
    from curate.engines.recover.rows import Rows
    from curate.engines.recover.training import Loss
    from curate.schemas.recovery import RecoveryRequest

MOMENT_BYTES = 8
"""AdamW's two float32 moments of one trained number; they come with the first step that is kept."""

FORWARD_SHARE = 1 / 3
"""Of a training step's arithmetic, what a forward pass alone takes."""


def estimate(
    model: str,
    rows: Rows,
    request: RecoveryRequest,
    *,
    heldout: Rows = (),
    original: str | None = None,
    template_digest: str | None = None,
) -> dict[str, Any]:
    """Return what `curate.engines.recover.recover` would do with the same arguments, and what it would cost.

    Returns
    -------
    dict, JSON-able
        ``method``, ``reason``, ``detected``; ``parameters``, ``trainable``, ``trainable_share``; ``rows``,
        ``rows_skipped``, ``rows_heldout``; ``steps``; ``tokens`` of all passes without padding; ``seconds``, the three
        perplexities included, a reconstruction not; ``memory`` in bytes, of the device or of the process; ``device``,
        ``dtype``.

    Raises
    ------
    As `recover`, for everything that can be told before training.
    """
    ready = prepare(model, rows, request, heldout=heldout, original=original, template_digest=template_digest)
    parameters = sum(one.numel() for one in ready.model.parameters())
    adaptation = attach(ready.model, ready.method, request)
    plan = Plan(len(ready.rows), request.batch, request.epochs, request.seed)
    lengths = [len(item.ids) for item in ready.rows]
    tokens = sum(lengths[row] for step in range(plan.steps) for row in plan.rows(step))
    teacher = load_original(ready, original, request) if request.teacher_weight else None
    loss = loss_of(ready, teacher, request) or (lambda batch: response_loss(ready.model, batch))
    pace = _tokens_per_second(ready, adaptation, request, plan, loss)
    measured = 3 * FORWARD_SHARE * sum(len(item.ids) for item in ready.heldout)
    return {
        "method": ready.method,
        "reason": ready.why,
        "detected": ready.found.to_json(),
        "parameters": parameters,
        "trainable": adaptation.n_trainable,
        "trainable_share": adaptation.n_trainable / parameters,
        "rows": len(ready.rows),
        "rows_skipped": ready.n_skipped,
        "rows_heldout": len(ready.heldout),
        "steps": plan.steps,
        "tokens": tokens,
        "seconds": (tokens + measured) / pace,
        "memory": peak_memory() + MOMENT_BYTES * adaptation.n_trainable,
        "device": str(ready.model.device),
        "dtype": str(ready.precision).removeprefix("torch."),
    }


def _tokens_per_second(
    ready: Prepared, adaptation: Adaptation, request: RecoveryRequest, plan: Plan, loss_of_batch: Loss
) -> float:
    """Return the pace of the first step's largest forward and backward pass, the second time it is run."""
    chosen = [ready.rows[row] for row in plan.rows(0)]
    first = token_batches([len(item.ids) for item in chosen], range(len(chosen)), ready.batch_tokens)[0]
    batch = make_batch([chosen[row] for row in first], ready.model.device)
    adaptation.model.train()
    if request.gradient_checkpointing:
        adaptation.model.gradient_checkpointing_enable({"use_reentrant": False})
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        with torch.random.fork_rng(), autocast(ready.model.device, ready.precision):
            loss = loss_of_batch(batch)
            loss.backward()
            loss.item()  # waits for the device
        seconds = time.perf_counter() - began
    return batch.n_tokens / seconds
