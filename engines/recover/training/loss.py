"""The training loss: cross-entropy of the response at supervised positions, in chunks of logits; and perplexity.

Only supervised positions pass through the output head, and `chunked_loss` keeps none of their logits: at a vocabulary
of 128,000 they would be the largest tensor by far.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from curate.engines.models.output_head import hidden_states, output_head
from curate.engines.recover.training.chunked_loss import sum_over_chunks
from curate.engines.recover.training.rows import make_batch
from curate.engines.tokens.batching import BatchRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.engines.recover.training.rows import Batch
    from curate.engines.tokens.templates import Encoded


def response_loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return Σ −log p over the supervised tokens of a batch, in nats, float32.

    A sum rather than a mean: the caller divides by the supervised tokens of the whole optimiser step, so that the loss
    does not depend on how the rows are split into forward passes.
    """
    states = hidden_states(model, batch.ids).flatten(0, 1)[batch.positions]

    def loss(part: Tensor, start: int, stop: int) -> Tensor:
        return functional.cross_entropy(response_logits(model, part), batch.targets[start:stop], reduction="sum")

    return sum_over_chunks(loss, states, output_head(model).vocabulary, head_parameters(model))


def head_parameters(model: PreTrainedModel) -> list[Tensor]:
    """Return the parameters of the output head that are trained, those of an adapter on it included."""
    return [one for one in model.get_output_embeddings().parameters() if one.requires_grad]


def response_logits(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Return the logits of hidden states (M, d), shape (M, V), float32, through the model's own output head.

    Calls the head's module, not its weight, so that an adapter on the head takes part and gets gradients.
    """
    head = output_head(model)
    logits: Tensor = model.get_output_embeddings()(states.to(head.weight.dtype)).float()
    if head.scale != 1.0:
        logits = logits * head.scale
    return logits if head.softcap is None else torch.tanh(logits / head.softcap) * head.softcap


def perplexity(model: PreTrainedModel, rows: Sequence[Encoded], batch_tokens: int) -> float:
    """Return exp of the mean −log p over all supervised tokens of `rows`, ≥ 1, lower is better.

    The model is in evaluation mode meanwhile. NaN or infinite if the model's outputs are.
    """
    device, training = model.device, model.training
    sums = [0.0] * len(rows)

    @torch.inference_mode()
    def work(batch: list[int]) -> None:
        # The sum of the batch is stored at its first row; only the total over all rows is used.
        sums[batch[0]] = response_loss(model, make_batch([rows[row] for row in batch], device)).double().item()

    model.eval()
    try:
        BatchRunner(batch_tokens).run([len(item.ids) for item in rows], list(range(len(rows))), work)
    finally:
        model.train(training)
    mean = sum(sums) / sum(item.n_response for item in rows)
    # exp overflows a float64 from 709.8 on and would raise.
    return math.exp(mean) if mean < 700 else math.inf
