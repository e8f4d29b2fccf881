"""Training on the most diverged tokens of a step: the share q whose predictions are furthest from the original's.

Distance is κ_t = KL(p_o ‖ p_c) where the loss contains the divergence, e_t = nll_c,t − nll_o,t where it is
cross-entropy. The tokens of a whole step compete, whatever its forward passes and processes, so that the gradient of a
step does not depend on them. A pass without gradients in evaluation mode measures them first.

Source: after Rho-1 (arXiv 2404.07965 §2.2), which takes the largest excess loss over a reference model in a batch; here
the reference is the model before compression, and the batch the optimiser step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.models.output_head import hidden_states, output_head
from curate.engines.recover.training.loss import response_logits
from curate.engines.recover.training.rows import make_batch
from curate.engines.score.reduction import ResponseStates
from curate.engines.tokens.batching import token_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.engines.recover.training.distillation import PredictionLookup
    from curate.engines.recover.training.rows import Batch
    from curate.engines.score.top_k import TopKPredictions
    from curate.engines.tokens.templates import Encoded

MEASURED_LOGITS = 1 << 24
"""Logits of each model in memory while distances are measured (64 MiB in float32)."""


@dataclass(frozen=True, eq=False)
class TokenChoice:
    """Chooses the tokens of a step."""

    share: float
    """q, in (0, 1)."""
    predictions: PredictionLookup
    by_divergence: bool
    """Whether κ decides, rather than e."""

    def distances(
        self, model: PreTrainedModel, rows: Sequence[Encoded], batch_tokens: int
    ) -> list[NDArray[np.float64]]:
        """Return the distance of every supervised token of each row, in nats, each of shape (tokens of the row,)."""
        result: list[NDArray[np.float64]] = [np.zeros(0)] * len(rows)
        training = model.training
        model.eval()
        try:
            for places in token_batches([len(item.ids) for item in rows], range(len(rows)), batch_tokens):
                batch = make_batch([rows[place] for place in places], model.device)
                values = self._of_batch(model, batch).double().cpu().split([rows[place].n_response for place in places])
                for place, own in zip(places, values, strict=True):
                    result[place] = own.numpy()
        finally:
            model.train(training)
        return result

    @torch.no_grad()
    def _of_batch(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        reference = self.predictions(batch.rows)
        states = hidden_states(model, batch.ids).flatten(0, 1)[batch.positions]
        step = max(1, MEASURED_LOGITS // output_head(model).vocabulary)
        pieces = [
            self._of_chunk(model, states[a : a + step], batch.targets[a : a + step], reference.slice(a, a + step))
            for a in range(0, len(states), step)
        ]
        return torch.cat(pieces)

    def _of_chunk(
        self, model: PreTrainedModel, states: Tensor, targets: Tensor, reference: ResponseStates | TopKPredictions
    ) -> Tensor:
        log_q = response_logits(model, states).log_softmax(-1)
        if not isinstance(reference, ResponseStates):
            return self._from_top_k(log_q, targets, reference)
        log_p = reference.head.logits(reference.hidden).log_softmax(-1)
        if self.by_divergence:
            return (log_p.exp() * (log_p - log_q)).sum(-1)
        return (log_p - log_q).gather(1, targets.unsqueeze(1)).squeeze(1)

    def _from_top_k(self, log_q: Tensor, targets: Tensor, reference: TopKPredictions) -> Tensor:
        if not self.by_divergence:
            return -log_q.gather(1, targets.unsqueeze(1)).squeeze(1) - reference.nll
        ids = reference.ids.long()
        # The tail as one token, as in the loss: a lower bound, of the same tokens for all.
        top = (reference.log_p.exp() * (reference.log_p - log_q.gather(1, ids))).sum(-1)
        tail = (1.0 - log_q.gather(1, ids).exp().sum(-1)).clamp_min(torch.finfo(torch.float32).tiny)
        return top + torch.xlogy(reference.tail, reference.tail) - reference.tail * tail.log()


def largest(values: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Return a mask of the ⌈share · n⌉ largest values, shape (n,); ties go to the earlier ones.

    Raises nothing for NaN: it counts as the largest, so that the loss that follows is not finite and says so.
    """
    n_kept = math.ceil(share * len(values) - 1e-9)
    kept = np.zeros(len(values), dtype=np.bool_)
    kept[np.argsort(-np.nan_to_num(values, nan=np.inf), kind="stable")[:n_kept]] = True
    return kept
