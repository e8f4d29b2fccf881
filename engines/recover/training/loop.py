"""The training loop: AdamW, warm-up and decay, gradient accumulation, stopping with a reason, resuming bit for bit.

A step's rows, its dropout and its learning rate follow from the seed and the step's number, so that a checkpoint is
the trained tensors and the optimiser's, and nothing else. Out of memory, the step is done again in forward passes of
half as many tokens: the rows of a step, and so the mathematics, stay. Knows nothing of methods and folders' contents.
"""

from __future__ import annotations

import math
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.recover.training.checkpoints import Checkpoints, Progressed
from curate.engines.recover.training.divergence import check_drift, check_finite, unreached
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.processes import ALONE
from curate.engines.recover.training.rows import Plan, make_batch
from curate.engines.tokens.batching import default_batch_tokens, token_batches
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.training.processes import Ranks
    from curate.engines.recover.training.rows import Batch
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

    Loss = Callable[[Batch], torch.Tensor]
    """From a batch to the sum of its loss over supervised tokens."""
    Tell = Callable[[dict[str, Any], int], None]

CLIP = 1.0
"""Largest norm of a step's gradient."""



class Interrupted(CurateError):
    """The job was asked to stop, and wrote a checkpoint first (exit 130)."""

    exit_code = 130


def train(
    adaptation: Adaptation,
    rows: Sequence[Encoded],
    request: RecoveryRequest,
    peak: float,
    *,
    checkpoints: Checkpoints | None = None,
    stop: Callable[[], bool] = lambda: False,
    tell: Tell | None = None,
    loss: Loss | None = None,
    precision: torch.dtype = torch.float32,
    ranks: Ranks = ALONE,
) -> Progressed:
    """Train in place and return how it went: one row of ``METRICS`` per step.

    Parameters
    ----------
    adaptation : Adaptation
        The prepared model.
    rows : sequence of Encoded
        Each with a supervised token.
    request : RecoveryRequest
    peak : float
        Highest learning rate.
    checkpoints : Checkpoints, optional
        Where to go on from and to write to; nowhere by default.
    stop : callable
        Asked after every step; when it says True, a checkpoint is written and `Interrupted` raised.
    tell : callable, optional
        Called after every step with its row of metrics and the number of steps in all.
    loss : callable, optional
        From a batch to the sum of its loss over supervised tokens; the response's −log p by default.
    precision : torch.dtype
        Of the products; a 16-bit one is used through autocast, since what is trained is float32.
    ranks : Ranks
        The processes that share every step; all call this alike, and only the first tells and writes.

    Raises
    ------
    CurateError
        When the loss or a gradient is not a number, or the loss diverges: why, and where the last good checkpoint is;
        also when a single row does not fit into memory.
    Interrupted
        When `stop` said so.
    """
    plan = Plan(len(rows), request.batch, request.epochs, request.seed)
    optimiser = torch.optim.AdamW(adaptation.trainable.values(), lr=peak, betas=(0.9, 0.999), weight_decay=0.0)
    budget = request.batch_tokens or default_batch_tokens(adaptation.model.device.type, training=True)
    done = Progressed(metrics=[], batch_tokens=budget)
    if checkpoints is not None:
        restored = checkpoints.restore(adaptation.trainable, optimiser)
        if restored is not None:
            restored.batch_tokens = min(restored.batch_tokens, request.batch_tokens or restored.batch_tokens)
            done = restored
    sum_loss = loss or (lambda batch: response_loss(adaptation.model, batch))
    adaptation.model.train()
    if request.gradient_checkpointing:
        adaptation.model.gradient_checkpointing_enable({"use_reentrant": False})
    while len(done.metrics) < plan.steps:
        step = len(done.metrics)
        rate = peak * rate_at(step, plan.steps, request.warmup, request.schedule)
        for group in optimiser.param_groups:
            group["lr"] = rate
        began = time.perf_counter()
        chosen = [rows[row] for row in plan.rows(step)]
        value, tokens = _gradients(adaptation, chosen, [request.seed, step], done, sum_loss, precision, ranks)
        norm = float(torch.nn.utils.clip_grad_norm_(adaptation.trainable.values(), CLIP))
        check_finite(value, norm, step, checkpoints)
        if step == 0:
            done.unreached = unreached(adaptation)
        optimiser.step()
        optimiser.zero_grad()
        entry = {"step": step + 1, "epoch": (step + 1) / plan.steps_per_epoch, "loss": value, "gradient_norm": norm}
        entry |= {"learning_rate": rate, "tokens": tokens, "seconds": time.perf_counter() - began}
        done.metrics.append(entry)
        if tell is not None and ranks.first:
            tell(entry, plan.steps)
        _after_step(adaptation, optimiser, request, done, plan, checkpoints, stop, ranks)
    if request.gradient_checkpointing:
        adaptation.model.gradient_checkpointing_disable()
    return done


def _after_step(
    adaptation: Adaptation,
    optimiser: torch.optim.Optimizer,
    request: RecoveryRequest,
    done: Progressed,
    plan: Plan,
    checkpoints: Checkpoints | None,
    stop: Callable[[], bool],
    ranks: Ranks,
) -> None:
    """Stop where the loss diverges or someone asks to, and write a checkpoint where one is due."""
    step = len(done.metrics)
    drift = check_drift([entry["loss"] for entry in done.metrics], checkpoints)
    # A signal does not reach all processes at the same step, and they have to stop at the same one.
    asked = any(any(told) for told in ranks.gather(stop()))
    # What is on the way to diverging must not replace the last good checkpoint.
    good = drift is None or drift < 0.5
    due = step == plan.steps or step % request.checkpoint_steps == 0
    if checkpoints is not None and good and (due or asked) and ranks.first:
        checkpoints.write(adaptation.trainable, optimiser, done)
    if asked and step < plan.steps:
        ranks.gather(0.0)  # until the checkpoint is there: where one process ends, the launcher ends the others
        raise Interrupted(f"stopped at step {step} of {plan.steps}; the same command goes on there")


def _gradients(
    adaptation: Adaptation,
    rows: Sequence[Encoded],
    seed: Sequence[int],
    done: Progressed,
    sum_loss: Loss,
    precision: torch.dtype,
    ranks: Ranks,
) -> tuple[float, int]:
    """Fill the gradients of one step; return its mean loss per supervised token, and its tokens."""
    lengths = [len(item.ids) for item in rows]
    mine = ranks.share(lengths)
    # Dropout of its own in each process, that of a single one in the first.
    own = [*seed, ranks.index] if ranks.index else seed
    supervised = sum(item.n_response for item in rows)
    value = _passes(adaptation, [rows[row] for row in mine], supervised, own, done, sum_loss, precision)
    ranks.add_up(adaptation.trainable.values())
    found = ranks.gather(value, done.batch_tokens)
    done.batch_tokens = int(min(tokens for _, tokens in found))
    return sum(part for part, _ in found), sum(lengths)


def _passes(
    adaptation: Adaptation,
    rows: Sequence[Encoded],
    supervised: int,
    seed: Sequence[int],
    done: Progressed,
    sum_loss: Loss,
    precision: torch.dtype,
) -> float:
    """Fill the gradients of rows of a step with `supervised` tokens in all; return their part of its mean loss."""
    model = adaptation.model
    lengths = [len(item.ids) for item in rows]
    while True:
        batches = token_batches(lengths, range(len(rows)), done.batch_tokens)
        try:
            with torch.random.fork_rng(), autocast(model.device, precision):
                # numpy's seeds mix a list into one number; torch takes a number only.
                torch.manual_seed(hash_seed(seed))
                total = 0.0
                for chosen in batches:
                    loss = sum_loss(make_batch([rows[row] for row in chosen], model.device)) / supervised
                    loss.backward()
                    total += loss.item()
            return total
        except torch.OutOfMemoryError:
            for parameter in adaptation.trainable.values():
                parameter.grad = None
            _smaller(done, lengths, batches)


def _smaller(done: Progressed, lengths: Sequence[int], batches: Sequence[list[int]]) -> None:
    """Halve the tokens of a forward pass.

    Raises
    ------
    CurateError
        When every pass has a single row already.
    """
    if all(len(batch) == 1 for batch in batches):
        raise CurateError(
            f"one row of {max(lengths)} tokens does not fit into the device's memory; "
            "lower --max-length, or add --gradient-checkpointing, or use --method mask_lora or lora"
        )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    largest = max(lengths[batch[0]] * len(batch) for batch in batches)
    done.batch_tokens = max(1, min(done.batch_tokens, largest) // 2)
    warnings.warn(
        f"out of memory: going on with forward passes of {done.batch_tokens} tokens; a step keeps its rows",
        RuntimeWarning,
        stacklevel=5,
    )


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which float32 trainables and 16-bit frozen weights meet."""
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, dtype=precision)


def hash_seed(parts: Sequence[int]) -> int:
    """Return one seed of 63 bits that depends on all of `parts`."""
    import numpy as np

    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> 1)


def rate_at(step: int, steps: int, warmup: float, schedule: str) -> float:
    """Return the learning rate of step `step` of `steps`, counted from 0, as a share of the peak, in (0, 1].

    Rises linearly over the first ``round(warmup · steps)`` steps, then falls to zero at step `steps`.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    share = (step - rising) / max(1, steps - rising)
    return 1 - share if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
