"""Learning from the original model beside the text: cross-entropy and KL divergence on the response, mixed.

Per supervised token (1 − w) · (−log p_c(y)) + w · KL(p_o ‖ p_c), p_o of the original and p_c of the model in training,
in nats, without a temperature; w = 0 is ordinary training. Knows nothing of optimisers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from curate.engines.head import hidden_states, output_head
from curate.engines.recover.loss import CHUNK_LOGITS, response_logits

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.engines.recover.rows import Batch


class Teacher:
    """The original model and its weight in the loss.

    Parameters
    ----------
    original : PreTrainedModel
        In evaluation mode, with the vocabulary of the model in training.
    weight : float
        w, in (0, 1].
    """

    def __init__(self, original: PreTrainedModel, weight: float) -> None:
        self._original, self._weight = original.eval().requires_grad_(False), weight

    def loss(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        """Return the sum of the mixed loss over a batch's supervised tokens, in nats, float32."""
        with torch.no_grad():
            wanted = hidden_states(self._original, batch.ids).flatten(0, 1)[batch.places]
        states = hidden_states(model, batch.ids).flatten(0, 1)[batch.places]
        step = max(1, CHUNK_LOGITS // (2 * output_head(model).vocabulary))
        parts = zip(states.split(step), wanted.split(step), batch.targets.split(step), strict=True)
        if len(states) <= step:
            return self._sum(model, states, wanted, batch.targets)
        return torch.stack([checkpoint(self._sum, model, *part, use_reentrant=False) for part in parts]).sum()

    def _sum(self, model: PreTrainedModel, states: Tensor, wanted: Tensor, targets: Tensor) -> Tensor:
        own = response_logits(model, states).log_softmax(-1)
        with torch.no_grad():
            ideal = response_logits(self._original, wanted).log_softmax(-1)
        nll = functional.nll_loss(own, targets, reduction="sum")
        divergence = functional.kl_div(own, ideal, reduction="sum", log_target=True)
        return (1 - self._weight) * nll + self._weight * divergence
