"""Distillation from the original model: cross-entropy and KL divergence on the response, mixed.

Per supervised token (1 − w) · (−log p_c(y)) + w · KL(p_o ‖ p_c), with p_o of the original and p_c of the model in
training, in nats, at temperature 1; w = 0 is ordinary training. If only the original's k most likely tokens are known,
all others count as one token, which makes the divergence a lower bound (data processing inequality).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from curate.engines.models.output_head import hidden_states, output_head
from curate.engines.recover.training.chunked_loss import sum_over_chunks
from curate.engines.recover.training.loss import head_parameters, response_logits
from curate.engines.score.reduction import ResponseStates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.engines.recover.prepare import LoadedSetup
    from curate.engines.recover.training.original_predictions import OriginalPredictions
    from curate.engines.recover.training.rows import Batch, BatchLoss
    from curate.engines.score.top_k import TopKPredictions
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

    PredictionLookup = Callable[[Sequence[Encoded]], ResponseStates | TopKPredictions]
    """From rows to the original's predictions of their supervised tokens, row after row."""


class DistillationLoss:
    """The mixed loss of a batch.

    Parameters
    ----------
    predictions : callable
        See `curate.engines.recover.training.original_predictions.OriginalPredictions.lookup`.
    weight : float
        w, in [0, 1].
    """

    def __init__(self, predictions: PredictionLookup, weight: float) -> None:
        self._predictions, self._weight = predictions, weight

    def __call__(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        """Return the sum of the mixed loss over a batch's supervised tokens, in nats, float32."""
        reference = self._predictions(batch.rows)
        if batch.kept is not None:
            reference = reference.take(batch.kept)
        states = hidden_states(model, batch.ids).flatten(0, 1)[batch.positions]

        def loss(part: Tensor, start: int, stop: int) -> Tensor:
            return self._sum(model, part, reference.slice(start, stop), batch.targets[start:stop])

        return sum_over_chunks(loss, states, output_head(model).vocabulary, head_parameters(model))

    def _sum(
        self, model: PreTrainedModel, states: Tensor, reference: ResponseStates | TopKPredictions, targets: Tensor
    ) -> Tensor:
        log_q = response_logits(model, states).log_softmax(-1)
        nll = functional.nll_loss(log_q, targets, reduction="sum")
        if isinstance(reference, ResponseStates):
            with torch.no_grad():
                log_p = reference.head.logits(reference.hidden).log_softmax(-1)
            divergence = functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
        else:
            divergence = top_k_divergence(log_q, reference)
        return (1 - self._weight) * nll + self._weight * divergence


def batch_loss(
    loaded: LoadedSetup, predictions: OriginalPredictions | None, request: RecoveryRequest
) -> BatchLoss | None:
    """Return the loss that distils the original's predictions, None for ordinary training."""
    if predictions is None or not request.taught:
        return None
    loss = DistillationLoss(predictions.lookup, request.teacher_weight)
    return lambda batch: loss(loaded.model, batch)


def top_k_divergence(log_q: Tensor, reference: TopKPredictions) -> Tensor:
    """Return Σ KL(p_o ‖ p_c) over tokens, with the original's tail as one token: never above the full divergence.

    Σ_i p_i (ln p_i − ln q_i) over the k tokens kept, plus P (ln P − ln Q) of the masses P and Q of all others.

    Parameters
    ----------
    log_q : Tensor of shape (M, V), float32
        ln q, of the model in training.
    reference : TopKPredictions
        Of the same M tokens.
    """
    ids = reference.ids.long()
    top = (reference.log_p.exp() * (reference.log_p - log_q.gather(1, ids))).sum()
    if ids.shape[1] == log_q.shape[1]:
        return top
    # Summed over the other tokens rather than 1 − Σ q_i, which is all rounding error where little mass is left.
    log_tail = log_q.scatter(1, ids, float("-inf")).logsumexp(-1)
    # xlogy is 0 at P = 0, where P · ln P would be NaN.
    return top + (torch.xlogy(reference.tail, reference.tail) - reference.tail * log_tail).sum()
