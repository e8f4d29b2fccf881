"""Top-k form of the original's predictions: its k most likely tokens, the tail's mass, and the target's likelihood.

Smaller than the final hidden states if k is small relative to the width. `cds` from it is a lower bound: merging the
tail's tokens into one can only lose divergence (data processing inequality); `divergence` bounds the loss. A departure
from docs/methods.md, which sums over the whole vocabulary, used only on request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from curate.engines.score.signals import TINY

if TYPE_CHECKING:
    from curate.engines.models.output_head import OutputHead

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class TopKPredictions:
    """The original's predictions of M tokens, reduced to the k most likely tokens."""

    ids: Tensor
    """(M, k) int32, the most likely tokens."""
    log_p: Tensor
    """(M, k) float32, their log-probabilities."""
    tail: Tensor
    """(M,) float32, probability of all other tokens together."""
    nll: Tensor
    """(M,) float32, −log p of the target."""

    def slice(self, start: int, stop: int) -> TopKPredictions:
        """Return the predictions of the tokens in [start, stop)."""
        return TopKPredictions(
            self.ids[start:stop], self.log_p[start:stop], self.tail[start:stop], self.nll[start:stop]
        )

    def take(self, tokens: Tensor) -> TopKPredictions:
        """Return the predictions of the given tokens, int64."""
        return TopKPredictions(self.ids[tokens], self.log_p[tokens], self.tail[tokens], self.nll[tokens])

    def to(self, device: torch.device) -> TopKPredictions:
        """Return the same on `device`."""
        return TopKPredictions(*(column.to(device) for column in (self.ids, self.log_p, self.tail, self.nll)))


def top_k_predictions(head: OutputHead, hidden: Tensor, targets: Tensor, k: int, chunk_tokens: int) -> TopKPredictions:
    """Return the top-k predictions of M tokens from the states that predict them.

    Parameters
    ----------
    head : OutputHead
    hidden : Tensor of shape (M, d)
    targets : Tensor of shape (M,), int64
    k : int
        Tokens to keep per prediction, capped by the vocabulary.
    chunk_tokens : int
        Tokens whose logits are in memory at once.
    """
    chunks = []
    for states, target in zip(hidden.split(chunk_tokens), targets.split(chunk_tokens), strict=True):
        log_p = torch.log_softmax(head.logits(states), dim=-1)
        nll = -log_p.gather(1, target.unsqueeze(1)).squeeze(1)
        likeliest = log_p.topk(min(k, head.vocabulary), dim=-1)
        # Summed over the others rather than subtracted from 1, which would be rounding noise where the tail is small.
        tail = log_p.exp_().scatter_(1, likeliest.indices, 0.0).sum(-1)
        chunks.append((likeliest.indices.to(torch.int32), likeliest.values, tail, nll.clamp_min(0.0)))
    return TopKPredictions(*(torch.cat(columns) for columns in zip(*chunks, strict=True)))


def divergence(delta: Tensor, nll: Tensor, targets: Tensor, reference: TopKPredictions) -> tuple[Tensor, Tensor]:
    """Return the divergence from a top-k prediction, and by how much it may fall short, token by token.

    With P and Q the two tails, the exact contribution of the tail lies between f(P, Q), that of the tails as one token,
    and ½ (P + Q) ln 2, because every term ½ p ln(2p / (p + q)) is at most ½ p ln 2.

    Parameters
    ----------
    delta : Tensor of shape (M, V), float32
        p − onehot(target) of the model about to be trained.
    nll : Tensor of shape (M,), float32
        Its −log p of the target.
    targets : Tensor of shape (M,), int64
    reference : TopKPredictions

    Returns
    -------
    (Tensor of shape (M,), Tensor of shape (M,))
        Nats, in [0, ln 2]: the lower bound, and the most that it may lack.
    """
    own = delta.gather(1, reference.ids.long())
    # δ is p − 1 at the target; p comes from the nll there, because adding 1 back would round small p away.
    own = torch.where(reference.ids == targets.unsqueeze(1), (-nll).exp().unsqueeze(1), own).clamp_min(0.0)
    own_tail = (1.0 - own.sum(-1)).clamp_min(0.0)
    tails = _terms(reference.tail, own_tail)
    lower_bound = (_terms(reference.log_p.exp(), own).sum(-1) + tails).clamp(0.0, math.log(2.0))
    shortfall = (0.5 * math.log(2.0) * (reference.tail + own_tail) - tails).clamp_min(0.0)
    return lower_bound, shortfall


def _terms(p: Tensor, q: Tensor) -> Tensor:
    """Return ½ p ln(2p / (p + q)) + ½ q ln(2q / (p + q)), 0 where p and q are 0."""
    middle = ((p + q) * 0.5).clamp_min(TINY).log()
    return 0.5 * (p * (p.clamp_min(TINY).log() - middle) + q * (q.clamp_min(TINY).log() - middle))
