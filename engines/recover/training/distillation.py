"""Learning from the original model beside the text: cross-entropy and KL divergence on the response, mixed.

Per supervised token (1 − w) · (−log p_c(y)) + w · KL(p_o ‖ p_c), p_o of the original and p_c of the model in training,
in nats, without a temperature; w = 0 is ordinary training. Where only the original's k likeliest tokens were kept, all
others count as one, which makes the divergence a lower bound (data processing). Knows nothing of optimisers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from curate.engines.models.output_head import hidden_states, output_head
from curate.engines.recover.training.loss import CHUNK_LOGITS, response_logits
from curate.engines.score.reduction import ResponseStates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.engines.recover.training.rows import Batch
    from curate.engines.score.top_k import TopKPredictions
    from curate.engines.tokens.templates import Encoded

    Lookup = Callable[[Sequence[Encoded]], ResponseStates | TopKPredictions]
    """From rows to what the original says of their supervised tokens, row after row."""


class Teacher:
    """What the original says, and its weight in the loss.

    Parameters
    ----------
    says : callable
        See `curate.engines.recover.training.original_predictions.Lessons.of`.
    weight : float
        w, in [0, 1].
    """

    def __init__(self, says: Lookup, weight: float) -> None:
        self._says, self._weight = says, weight

    def loss(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        """Return the sum of the mixed loss over a batch's supervised tokens, in nats, float32."""
        wanted = self._says(batch.rows)
        states = hidden_states(model, batch.ids).flatten(0, 1)[batch.places]
        step = max(1, CHUNK_LOGITS // (2 * output_head(model).vocabulary))
        if len(states) <= step:
            return self._sum(model, states, wanted, batch.targets)
        ranges = [(start, min(start + step, len(states))) for start in range(0, len(states), step)]
        parts = [(states[a:b], wanted.slice(a, b), batch.targets[a:b]) for a, b in ranges]
        return torch.stack([checkpoint(self._sum, model, *part, use_reentrant=False) for part in parts]).sum()

    def _sum(
        self, model: PreTrainedModel, states: Tensor, wanted: ResponseStates | TopKPredictions, targets: Tensor
    ) -> Tensor:
        own = response_logits(model, states).log_softmax(-1)
        nll = functional.nll_loss(own, targets, reduction="sum")
        if isinstance(wanted, ResponseStates):
            with torch.no_grad():
                ideal = wanted.head.logits(wanted.hidden).log_softmax(-1)
            divergence = functional.kl_div(own, ideal, reduction="sum", log_target=True)
        else:
            divergence = summarised_divergence(own, wanted)
        return (1 - self._weight) * nll + self._weight * divergence


def summarised_divergence(own: Tensor, summary: TopKPredictions) -> Tensor:
    """Return Σ KL(p_o ‖ p_c) over tokens, the original's tail taken as one token: never above the whole divergence.

    Σ_i p_i (ln p_i − ln q_i) over the k tokens kept, and P (ln P − ln Q) of the masses P and Q of all others.

    Parameters
    ----------
    own : Tensor of shape (M, V), float32
        ln q, of the model in training.
    summary : Summary
        Of the same M tokens.
    """
    ids = summary.ids.long()
    kept = (summary.log_p.exp() * (summary.log_p - own.gather(1, ids))).sum()
    if ids.shape[1] == own.shape[1]:
        return kept
    # Summed without the k rather than subtracted from 1, which would leave rounding where little is left.
    rest = own.scatter(1, ids, float("-inf")).logsumexp(-1)
    return kept + (torch.xlogy(summary.tail, summary.tail) - summary.tail * rest).sum()
