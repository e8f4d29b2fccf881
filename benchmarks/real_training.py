"""Trains the dense model of the comparison on real data from scratch, with early stopping.

Model, tokenizer and loss are those of the demo (`curate.engines.pretrain`). The learning rate is constant while the
validation loss improves and time is left, then it is annealed linearly to zero from the best weights.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.pretrain import IGNORED, answer_loss, batches, new_model, save
from curate.engines.recover.training.loop import autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from curate.engines.pretrain import Pair, PretrainConfig

    Batches = list[tuple[torch.Tensor, torch.Tensor]]

WARM_UP = 100
"""Steps over which the learning rate rises linearly."""
ANNEALING = 0.25
"""Share of the steps, and of the time, over which it is annealed to zero."""


@dataclass(frozen=True)
class EarlyStopping:
    """When training ends."""

    seconds: float
    """Most wall seconds, annealing included; the validation loss may still be falling then."""
    check_every: int
    """Steps between two evaluations of the validation loss."""
    patience: int
    """Evaluations without a new best loss before annealing starts."""


def train_model(
    training: Sequence[Pair],
    validation: Sequence[Pair],
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    config: PretrainConfig,
    stopping: EarlyStopping,
    device: torch.device,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Train a model and write it to the folder `out`, weights in float16.

    Parameters
    ----------
    training, validation : sequence of (question, answer)
        The number of validation rows is a multiple of sixteen batches.
    tokenizer : PreTrainedTokenizerFast
    out : Path
    config : PretrainConfig
        Size, rows per step, peak learning rate, weight decay, seed; its number of steps is ignored.
    stopping : EarlyStopping
    device : torch.device
        Matrix products are in bfloat16 on a CUDA device, in float32 elsewhere.
    log : callable
        Called with one message at each evaluation.

    Returns
    -------
    dict, JSON-able
        ``parameters``, ``vocabulary``, ``steps``, ``tokens``, ``epochs``, ``seconds``, ``stopped`` ("validation loss
        stopped falling" or "time limit"), ``loss`` on the validation rows (nats per answer token), ``curve`` of
        [steps, loss].
    """
    start = time.monotonic()
    model = new_model(tokenizer, config).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.98), weight_decay=config.weight_decay
    )
    run = _TrainingRun(model, optimiser, batches(_endless(training, config.seed), tokenizer, config), config, device)
    validation_batches = _fixed(validation, tokenizer, config)
    best, best_state, checks_since_best, curve = float("inf"), copy.deepcopy(model.state_dict()), 0, []
    stopped = "time limit"
    while time.monotonic() - start < (1 - ANNEALING) * stopping.seconds:
        for _ in range(stopping.check_every):
            run.step(min(1.0, (run.steps + 1) / WARM_UP))
        loss = run.loss_of(validation_batches)
        curve.append([run.steps, loss])
        log(f"step {run.steps}: validation loss {loss:.4f}, {run.tokens:,} tokens, {time.monotonic() - start:.0f} s")
        checks_since_best = 0 if loss < best else checks_since_best + 1
        if loss < best:
            best, best_state = loss, copy.deepcopy(model.state_dict())
        elif checks_since_best >= stopping.patience:
            stopped = "validation loss stopped falling"
            break
    model.load_state_dict(best_state)
    annealing = max(1, round(run.steps * ANNEALING / (1 - ANNEALING)))
    for step in range(annealing):
        run.step(1 - step / annealing)
    loss = run.loss_of(validation_batches)
    curve.append([run.steps, loss])
    save(model, tokenizer, out)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()), "vocabulary": len(tokenizer),
        "steps": run.steps, "tokens": run.tokens, "epochs": run.steps * config.batch / len(training),
        "seconds": time.monotonic() - start, "stopped": stopped, "loss": loss, "curve": curve,
    }  # fmt: skip


class _TrainingRun:
    """A model in training, its optimiser, and the counts of steps and tokens."""

    def __init__(
        self,
        model: LlamaForCausalLM,
        optimiser: torch.optim.Optimizer,
        stream: Iterator[tuple[torch.Tensor, torch.Tensor]],
        config: PretrainConfig,
        device: torch.device,
    ) -> None:
        self._model, self._optimiser, self._stream, self._config = model, optimiser, stream, config
        self._device = device
        self._precision = torch.bfloat16 if device.type == "cuda" else torch.float32
        self._pad = model.config.pad_token_id
        self.steps, self.tokens = 0, 0

    def step(self, share: float) -> None:
        """Train on the next batch at a share of the peak learning rate."""
        tokens, labels = next(self._stream)
        for group in self._optimiser.param_groups:
            group["lr"] = share * self._config.learning_rate
        loss = self._loss(tokens, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.steps += 1
        self.tokens += int((tokens != self._pad).sum())

    @torch.no_grad()
    def loss_of(self, batches: Batches) -> float:
        """Return the mean loss per answer token, in nats."""
        counts = [int((labels != IGNORED).sum()) for _, labels in batches]
        losses = [float(self._loss(tokens, labels)) for tokens, labels in batches]
        # Weighted by answer tokens, because batches hold different numbers of them.
        return sum(n * loss for n, loss in zip(counts, losses, strict=True)) / sum(counts)

    def _loss(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with autocast(self._device, self._precision):
            return answer_loss(self._model, tokens.to(self._device), labels.to(self._device))


def _endless(pairs: Sequence[Pair], seed: int) -> Iterator[Pair]:
    """Yield the pairs without end, in a new random order at each pass."""
    generator = torch.Generator().manual_seed(seed)
    for _ in count():
        for index in torch.randperm(len(pairs), generator=generator).tolist():
            yield pairs[index]


def _fixed(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerFast, config: PretrainConfig) -> Batches:
    """Return the pairs as batches, each pair once; their number must be a multiple of sixteen batches."""
    return list(islice(batches(iter(pairs), tokenizer, config), len(pairs) // config.batch))
