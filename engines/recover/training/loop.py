"""The training loop: AdamW with warm-up and decay, gradient accumulation, checkpoints, and resuming bit for bit.

Rows, dropout and learning rate of a step follow from the seed and the step's number, so that a checkpoint holds the
trained tensors, the optimiser's moments and the metrics, and nothing else. If memory runs out, the step is repeated in
forward passes of half as many tokens: the rows of a step, and so its gradient, stay the same up to rounding.
"""

from __future__ import annotations

import math
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.recover.observer import SILENT, Interrupted, Observer
from curate.engines.recover.training.checkpoints import Checkpoints, TrainingProgress
from curate.engines.recover.training.divergence import check_divergence, check_finite, tensors_without_gradient
from curate.engines.recover.training.memory import pass_tokens, size_of
from curate.engines.recover.training.objective import Objective, StepRows, ordinary_loss, passes_of, rows_of_step
from curate.engines.recover.training.processes import SINGLE_PROCESS, ProcessGroup
from curate.engines.recover.training.rows import BatchPlan, make_batch
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

MAX_GRADIENT_NORM = 1.0
"""Norm that a step's gradient is clipped to."""


def train(
    adaptation: Adaptation,
    rows: Sequence[Encoded],
    request: RecoveryRequest,
    *,
    checkpoints: Checkpoints | None = None,
    objective: Objective | None = None,
    precision: torch.dtype = torch.float32,
    group: ProcessGroup = SINGLE_PROCESS,
    observer: Observer = SILENT,
) -> TrainingProgress:
    """Train in place and return the progress: one row of ``METRICS`` per step.

    Parameters
    ----------
    adaptation : Adaptation
        The prepared model.
    rows : sequence of Encoded
        Each with a supervised token.
    request : RecoveryRequest
        Its learning rate, or the default of the adaptation's method and the model's width, is the peak of the schedule.
    checkpoints : Checkpoints, optional
        Where to resume from and to write to; nothing is kept by default.
    objective : Objective, optional
        What a step minimises; −log p of the response, over all tokens, by default.
    precision : torch.dtype
        Of matrix products; a 16-bit one is applied through autocast, since trained tensors are float32.
    group : ProcessGroup
        The processes that share every step. All make this call; only the first reports and writes.
    observer : Observer
        `on_step` and `should_stop` are called after every step.

    Raises
    ------
    CurateError
        When the loss or a gradient is not finite, the loss diverges, or a single row does not fit into memory. The
        message names the last good checkpoint.
    Interrupted
        When the observer requested it, after writing a checkpoint.
    """
    objective = objective or Objective(ordinary_loss(adaptation.model))
    loop = _TrainingLoop(adaptation, rows, request, checkpoints, objective, precision, group, observer)
    return loop.run()


@dataclass(eq=False)
class _TrainingLoop:
    """One call of `train`; the fields are its arguments."""

    adaptation: Adaptation
    rows: Sequence[Encoded]
    request: RecoveryRequest
    checkpoints: Checkpoints | None
    objective: Objective
    precision: torch.dtype
    group: ProcessGroup
    observer: Observer

    def __post_init__(self) -> None:
        request, trainable = self.request, self.adaptation.trainable
        self.plan = BatchPlan(len(self.rows), request.step_rows(len(self.rows)), request.epochs, request.seed)
        model = self.adaptation.model
        size = size_of(model)
        self.peak = request.peak(self.adaptation.method, size.width)
        self.optimiser = torch.optim.AdamW(trainable.values(), lr=self.peak, betas=(0.9, 0.999), weight_decay=0.0)
        self.progress = TrainingProgress(
            metrics=[], batch_tokens=request.batch_tokens or pass_tokens(size, model.device.type)
        )
        restored = None if self.checkpoints is None else self.checkpoints.restore(trainable, self.optimiser)
        if restored is not None:
            # A lower limit than before is a request to save memory; a higher one would run out of it again.
            restored.batch_tokens = min(restored.batch_tokens, request.batch_tokens or restored.batch_tokens)
            self.progress = restored
            if self.objective.groups is not None:
                self.objective.groups.restore(restored.groups)

    def run(self) -> TrainingProgress:
        """Take the remaining steps."""
        model = self.adaptation.model
        model.train()
        if self.request.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        while len(self.progress.metrics) < self.plan.steps:
            self._step()
            self._after_step()
        if self.request.gradient_checkpointing:
            model.gradient_checkpointing_disable()
        return self.progress

    def _step(self) -> None:
        """Take one optimiser step and record its metrics."""
        step = len(self.progress.metrics)
        rate = self.peak * rate_at(step, self.plan.steps, self.request.warmup, self.request.schedule)
        for parameter_group in self.optimiser.param_groups:
            parameter_group["lr"] = rate
        started = time.perf_counter()
        with self.objective.width_of(step):
            loss, tokens = self._compute_gradients(step)
        norm = float(torch.nn.utils.clip_grad_norm_(self.adaptation.trainable.values(), MAX_GRADIENT_NORM))
        # Before the optimiser's step: a checkpoint written later must not contain NaN.
        check_finite(loss, norm, step, self.checkpoints)
        if step == 0:
            self.progress.unreached = tensors_without_gradient(self.adaptation)
        self.optimiser.step()
        self.optimiser.zero_grad()
        entry = {"step": step + 1, "epoch": (step + 1) / self.plan.steps_per_epoch, "loss": loss, "gradient_norm": norm}
        entry |= {"learning_rate": rate, "tokens": tokens, "seconds": time.perf_counter() - started}
        self.progress.metrics.append(entry)
        if self.objective.groups is not None:
            self.objective.groups.after_step(step + 1)
            self.progress.groups = self.objective.groups.state()
        if self.group.is_first:
            self.observer.on_step(entry, self.plan.steps)

    def _after_step(self) -> None:
        """Check for divergence, write a checkpoint if one is due, and stop if requested."""
        step = len(self.progress.metrics)
        drift = check_divergence([entry["loss"] for entry in self.progress.metrics], self.checkpoints)
        # A signal does not reach all processes at the same step, and they have to stop at the same one.
        stop_requested = any(any(flags) for flags in self.group.gather(self.observer.should_stop()))
        # A run on its way to diverging must not replace the last good checkpoint.
        good = drift is None or drift < 0.5
        due = step == self.plan.steps or step % self.request.checkpoint_steps == 0
        if self.checkpoints is not None and good and (due or stop_requested) and self.group.is_first:
            self.checkpoints.write(self.adaptation.trainable, self.optimiser, self.progress)
        if stop_requested and step < self.plan.steps:
            # Wait for the first process's checkpoint: as soon as one process exits, the launcher ends the others.
            self.group.gather(0.0)
            raise Interrupted(f"stopped at step {step} of {self.plan.steps}; run the same command again to resume")

    def _compute_gradients(self, step: int) -> tuple[float, int]:
        """Fill the gradients of one step; return its mean loss per counted token, and its tokens."""
        numbers, group, groups = self.plan.rows(step), self.group, self.objective.groups
        model = self.adaptation.model
        with autocast(model.device, self.precision):
            own = rows_of_step(
                self.rows, numbers, self.objective.tokens, model, self.progress.batch_tokens, group
            )  # fmt: skip
        # Each process draws its own dropout; the first draws what a single process would.
        seed = [self.request.seed, step, *([group.index] if group.index else [])]
        loss, by_group = self._forward_backward(own, seed)
        group.sum_gradients(self.adaptation.trainable.values())
        gathered = np.array(group.gather(loss, self.progress.batch_tokens, *by_group.tolist()))
        self.progress.batch_tokens = int(gathered[:, 1].min())
        if groups is not None:
            groups.add(numbers, gathered[:, 2:].sum(axis=0))
        return float(gathered[:, 0].sum()), sum(len(self.rows[number].ids) for number in numbers)

    def _forward_backward(self, step: StepRows, seed: Sequence[int]) -> tuple[float, NDArray[np.float64]]:
        """Add the gradients of this process's rows; return their share of the step's mean loss, and by group its sum.

        `seed` is that of the dropout. Without groups the sums are empty.
        """
        model, groups = self.adaptation.model, self.objective.groups
        weights = np.ones(0) if groups is None else groups.weights
        lengths = [len(item.ids) for item in step.rows]
        while True:
            passes = passes_of(step, groups, self.progress.batch_tokens)
            total, sums = 0.0, np.zeros(len(weights))
            try:
                with torch.random.fork_rng(), autocast(model.device, self.precision):
                    torch.manual_seed(hash_seed(seed))
                    for places, number in passes:
                        counted = None if step.kept is None else [step.kept[place] for place in places]
                        batch = make_batch([step.rows[place] for place in places], model.device, counted)
                        loss = self.objective.loss(batch)
                        share = loss / step.counted if number is None else loss * (weights[number] / step.counted)
                        share.backward()
                        total += share.item()
                        if number is not None:
                            sums[number] += loss.item()
                return total, sums
            except torch.OutOfMemoryError:
                # Some passes have added their gradients already; the whole step is computed again.
                for parameter in self.adaptation.trainable.values():
                    parameter.grad = None
                self._halve_batch_tokens(lengths, [places for places, _ in passes])

    def _halve_batch_tokens(self, lengths: Sequence[int], batches: Sequence[list[int]]) -> None:
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
        # Half of what was tried, not of the limit: few rows may be far below it. Batches are sorted, longest row first.
        largest = max(lengths[batch[0]] * len(batch) for batch in batches)
        self.progress.batch_tokens = max(1, min(self.progress.batch_tokens, largest) // 2)
        warnings.warn(
            f"out of memory: continuing with forward passes of {self.progress.batch_tokens} tokens; "
            "the rows of a step stay the same",
            RuntimeWarning,
            stacklevel=2,
        )


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which float32 trained tensors are multiplied with 16-bit frozen weights."""
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, dtype=precision)


def hash_seed(parts: Sequence[int]) -> int:
    """Return one seed of 63 bits that depends on all of `parts`: torch takes a single number."""
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
