"""The loss on the response: cross-entropy at supervised positions, a chunk of logits at a time; and perplexity.

Only supervised positions meet the output layer, and in training their logits are computed again on the way back
rather than kept. Knows nothing of optimisers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from curate.engines.models.output_head import hidden_states, output_head
from curate.engines.recover.training.rows import make_batch
from curate.engines.tokens.batching import BatchRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.engines.recover.training.rows import Batch
    from curate.engines.tokens.templates import Encoded

CHUNK_LOGITS = 1 << 26
"""Logits held at a time (256 MiB in float32)."""


def response_loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return Σ −log p over the supervised tokens of a batch, in nats, float32: a sum, for the caller to divide.

    The mean is taken over the supervised tokens of a whole optimiser step, so that the result does not depend on how
    its rows fall into forward passes.
    """
    states = hidden_states(model, batch.ids).flatten(0, 1)[batch.places]
    step = max(1, CHUNK_LOGITS // output_head(model).vocabulary)
    if len(states) <= step:
        return _sum_nll(model, states, batch.targets)
    parts = zip(states.split(step), batch.targets.split(step), strict=True)
    return torch.stack([checkpoint(_sum_nll, model, *part, use_reentrant=False) for part in parts]).sum()


def response_logits(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Return the logits of hidden states (M, d), shape (M, V), float32, through the model's own output layer."""
    head = output_head(model)
    logits: Tensor = model.get_output_embeddings()(states.to(head.weight.dtype)).float()
    if head.scale != 1.0:
        logits = logits * head.scale
    return logits if head.softcap is None else torch.tanh(logits / head.softcap) * head.softcap


def _sum_nll(model: PreTrainedModel, states: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(response_logits(model, states), targets, reduction="sum")


def perplexity(model: PreTrainedModel, rows: Sequence[Encoded], batch_tokens: int) -> float:
    """Return exp of the mean −log p over all supervised tokens of `rows`, ≥ 1, smaller = better.

    The model is put into evaluation mode for it. NaN or infinite where the model gives such numbers.
    """
    device, training = model.device, model.training
    sums = [0.0] * len(rows)

    @torch.inference_mode()
    def work(batch: list[int]) -> None:
        sums[batch[0]] = response_loss(model, make_batch([rows[row] for row in batch], device)).double().item()

    model.eval()
    try:
        BatchRunner(batch_tokens).run([len(item.ids) for item in rows], list(range(len(rows))), work)
    finally:
        model.train(training)
    mean = sum(sums) / sum(item.n_response for item in rows)
    return math.exp(mean) if mean < 700 else math.inf
