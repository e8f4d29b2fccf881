"""Reference recovery: weights entry by entry, losses row by row, plain autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from curate.engines.models.loading import LanguageModel
from curate.engines.models.output_head import output_head
from curate.engines.score.reduction import ResponseStates
from curate.engines.score.response_states import response_states, response_tokens
from curate.engines.score.top_k import TopKPredictions, top_k_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from curate.engines.recover.training.distillation import PredictionLookup
    from curate.engines.tokens.templates import Encoded


def predictions_of(original: PreTrainedModel, top: int | None = None) -> PredictionLookup:
    """Return the lookup of an original in memory, without a cache."""
    head = output_head(original.eval())

    @torch.no_grad()
    def lookup(rows: Sequence[Encoded]) -> ResponseStates | TopKPredictions:
        states = response_states(LanguageModel(original, "original"), rows)
        return (
            ResponseStates(head, states)
            if top is None
            else top_k_predictions(head, states, response_tokens(rows), top, 512)
        )

    return lookup


def weight_loop(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, kind: str) -> torch.Tensor:
    """Return the masked or scaled weight, one entry at a time; differentiable in a and b."""
    rows = []
    for i in range(weight.shape[0]):
        entries = []
        for j in range(weight.shape[1]):
            low_rank = sum(b[i, k] * a[k, j] for k in range(a.shape[0]))
            if kind == "scale":
                entries.append(weight[i, j] * low_rank)
            else:
                entries.append(weight[i, j] + scale * low_rank if weight[i, j] != 0 else weight[i, j] * low_rank)
        rows.append(torch.stack(entries))
    return torch.stack(rows)


def mean_nll(model: PreTrainedModel, rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the mean −log p over the supervised tokens of all rows, each row run alone through the whole model."""
    total, count = torch.zeros(()), 0
    for row in rows:
        logits = model(torch.from_numpy(row.ids)[None], use_cache=False).logits[0].float()
        for t in range(1, len(row.ids)):
            if row.supervised[t]:
                total = total - torch.log_softmax(logits[t - 1], -1)[row.ids[t]]
                count += 1
    return total / count


def mixed_loss(
    model: PreTrainedModel, original: PreTrainedModel, rows: Sequence[Encoded], weight: float, top: int | None = None
) -> float:
    """Return Σ (1 − w)(−log p_c) + w KL(p_o ‖ p_c), float64, both models run on each row alone at the same time.

    With `top`, all but the original's so many likeliest tokens are added up to one before they are compared.
    """
    total = 0.0
    for row in rows:
        ids = torch.from_numpy(row.ids)[None]
        with torch.no_grad():
            own, ideal = (one(ids, use_cache=False).logits[0].double().softmax(-1) for one in (model, original))
        for t in range(1, len(row.ids)):
            if row.supervised[t]:
                q, p = own[t - 1], ideal[t - 1]
                target = q[row.ids[t]]
                if top is not None:
                    order = p.argsort(descending=True)
                    p, q = (torch.cat([x[order[:top]], x[order[top:]].sum()[None]]) for x in (p, q))
                divergence = sum(a * (a / b).log() for a, b in zip(p, q, strict=True) if a > 0)
                total += float((1 - weight) * -target.log() + weight * divergence)
    return total


def nm_loop(matrix: torch.Tensor, group: int) -> int:
    """Return the most non-zero entries of any `group` consecutive ones of a row."""
    return max(
        sum(float(x) != 0 for x in row[start : start + group])
        for row in matrix
        for start in range(0, matrix.shape[1], group)
    )
