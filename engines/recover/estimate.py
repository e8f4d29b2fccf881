"""What a recovery would cost: exact counts of what is trained and read, time and memory from one step that is not kept.

Loads the model, since nothing less tells how fast it trains here. Writes nothing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.recover.methods.attach import attach
from curate.engines.recover.prepare import lay_out, load
from curate.engines.recover.results.report import peak_memory
from curate.engines.recover.run import loss_of
from curate.engines.recover.training.loop import autocast
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.original_predictions import known, library_beside, read_lessons
from curate.engines.recover.training.rows import Plan, make_batch
from curate.engines.score.original_cache import row_key
from curate.engines.tokens.batching import token_batches

if TYPE_CHECKING:
    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.prepare import Layout, Prepared
    from curate.engines.recover.training.loop import Loss
    from curate.engines.recover.training.original_predictions import Lessons, Library
    from curate.engines.recover.training.rows import Rows
    from curate.engines.tokens.templates import Encoded
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
    library: Library | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Return what `curate.engines.recover.recover` would do with the same arguments, and what it would cost.

    Returns
    -------
    dict, JSON-able
        ``method``, ``reason``, ``detected``; ``parameters``, ``trainable``, ``trainable_share``; ``rows``,
        ``rows_skipped``, ``rows_heldout``; ``processes`` and ``steps``; ``tokens`` of all passes without padding;
        ``seconds``, the three perplexities and the original's pass over rows that it has not read included, a
        reconstruction not; ``memory`` in bytes, of the device or of the process; ``device``, ``dtype``; and with a
        teacher's weight ``teacher``: the ``rows`` that it has read before, ``rows_to_read`` and ``tokens_to_read``, and
        the ``bytes`` on the disk that these will take.

    Raises
    ------
    As `recover`, for everything that can be told before training.
    """
    layout = lay_out(model, rows, request, heldout=heldout, original=original, template_digest=template_digest)
    plan = Plan(len(layout.rows), request.batch, request.epochs, request.seed)
    first = _first_pass(layout, plan)
    # The original comes and goes before the model does, as in the job, so that the peak is that of the larger phase.
    lessons, taught = _lessons(layout, original, request, library, first)
    ready = load(layout, request)
    parameters = sum(one.numel() for one in ready.model.parameters())
    adaptation = attach(ready.model, ready.method, request)
    lengths = [len(item.ids) for item in ready.rows]
    tokens = sum(lengths[row] for step in range(plan.steps) for row in plan.rows(step))
    loss = loss_of(ready, lessons, request) or (lambda batch: response_loss(ready.model, batch))
    pace = _tokens_per_second(ready, adaptation, request, first, loss)
    measured = 3 * sum(len(item.ids) for item in ready.heldout) + taught.get("tokens_to_read", 0)
    sharers = processes if ready.device.type == "cuda" else 1
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
        "processes": processes,
        "steps": plan.steps,
        "tokens": tokens,
        "seconds": (tokens / sharers + FORWARD_SHARE * measured) / pace,
        "memory": peak_memory() + MOMENT_BYTES * adaptation.n_trainable,
        "device": str(ready.model.device),
        "dtype": str(ready.precision).removeprefix("torch."),
        **({"teacher": taught} if taught else {}),
    }


def _first_pass(layout: Layout, plan: Plan) -> list[Encoded]:
    """Return the rows of the first step's largest forward and backward pass."""
    chosen = [layout.rows[row] for row in plan.rows(0)]
    first = token_batches([len(item.ids) for item in chosen], range(len(chosen)), layout.batch_tokens)[0]
    return [chosen[row] for row in first]


def _lessons(
    layout: Layout, original: str | None, request: RecoveryRequest, library: Library | None, first: list[Encoded]
) -> tuple[Lessons | None, dict[str, Any]]:
    """Return what the original says of the `first` rows, read aside where it has not, and what the rest will cost."""
    if original is None or not request.taught:
        return None, {}
    with tempfile.TemporaryDirectory() as aside:
        shelf = library or library_beside(Path(aside), original)
        there = known(shelf, layout.precision, request.teacher_top)[0]
        missing = [item for item in layout.rows if row_key(item) not in there]
        lessons = read_lessons(layout, original, request, shelf, first, into=Path(aside))
        lessons.of(first)  # opens its files, which then may go
        return lessons, {
            "rows": len(layout.rows) - len(missing),
            "rows_to_read": len(missing),
            "tokens_to_read": sum(len(item.ids) for item in missing),
            "bytes": int(lessons.bytes_per_token() * sum(item.n_response for item in missing)),
        }


def _tokens_per_second(
    ready: Prepared, adaptation: Adaptation, request: RecoveryRequest, rows: list[Encoded], loss_of_batch: Loss
) -> float:
    """Return the pace of one forward and backward pass, the second time it is run."""
    batch = make_batch(rows, ready.model.device)
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
