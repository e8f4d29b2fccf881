"""The original's predictions in short: its k likeliest tokens, the mass of all others, and the target's likelihood.

Smaller than the final hidden states where k is small beside the width, and `cds` from it is a lower bound: putting the
tail's tokens into one can only lose divergence (data processing). How much is bounded too, see `divergence`.
Departure from METHODS §1, which sums over the whole vocabulary; used only when asked for.
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
class Summary:
    """What is known of the original's predictions of M tokens."""

    ids: Tensor
    """(M, k) int32, the likeliest tokens."""
    log_p: Tensor
    """(M, k) float32, their log-probabilities."""
    tail: Tensor
    """(M,) float32, probability of all other tokens together."""
    nll: Tensor
    """(M,) float32, −log p of the target."""

    def piece(self, start: int, stop: int) -> Summary:
        """Return what is known of the tokens in [start, stop)."""
        return Summary(self.ids[start:stop], self.log_p[start:stop], self.tail[start:stop], self.nll[start:stop])

    def to(self, device: torch.device) -> Summary:
        """Return the same on `device`."""
        return Summary(*(part.to(device) for part in (self.ids, self.log_p, self.tail, self.nll)))


def summarise(head: OutputHead, hidden: Tensor, targets: Tensor, k: int, chunk_tokens: int) -> Summary:
    """Return the summary of M tokens from the states (M, d) that predict them, a chunk of logits at a time."""
    parts = []
    for states, wanted in zip(hidden.split(chunk_tokens), targets.split(chunk_tokens), strict=True):
        log_p = torch.log_softmax(head.logits(states), dim=-1)
        nll = -log_p.gather(1, wanted.unsqueeze(1)).squeeze(1)
        likeliest = log_p.topk(min(k, head.vocabulary), dim=-1)
        # Summed without the likeliest rather than subtracted from 1, which would leave rounding where little is left.
        tail = log_p.exp_().scatter_(1, likeliest.indices, 0.0).sum(-1)
        parts.append((likeliest.indices.to(torch.int32), likeliest.values, tail, nll.clamp_min(0.0)))
    return Summary(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def divergence(delta: Tensor, nll: Tensor, targets: Tensor, summary: Summary) -> tuple[Tensor, Tensor]:
    """Return the divergence from a summarised prediction, and by how much it may fall short, token by token.

    With P and Q the two tails, the tail's true part lies between that of the tails as one token, f(P, Q), and
    ½ (P + Q) ln 2, since every term ½ p ln(2p / (p + q)) is at most ½ p ln 2.

    Parameters
    ----------
    delta : Tensor of shape (M, V), float32
        p − onehot(target) of the model about to be trained.
    nll : Tensor of shape (M,), float32
        Its −log p of the target.
    targets : Tensor of shape (M,), int64
    summary : Summary

    Returns
    -------
    (Tensor of shape (M,), Tensor of shape (M,))
        Nats, in [0, ln 2]: the lower bound, and the most that it lacks.
    """
    own = delta.gather(1, summary.ids.long())
    own = torch.where(summary.ids == targets.unsqueeze(1), (-nll).exp().unsqueeze(1), own).clamp_min(0.0)
    rest = (1.0 - own.sum(-1)).clamp_min(0.0)
    ends = _terms(summary.tail, rest)
    found = (_terms(summary.log_p.exp(), own).sum(-1) + ends).clamp(0.0, math.log(2.0))
    lacking = (0.5 * math.log(2.0) * (summary.tail + rest) - ends).clamp_min(0.0)
    return found, lacking


def _terms(p: Tensor, q: Tensor) -> Tensor:
    """Return ½ p ln(2p / (p + q)) + ½ q ln(2q / (p + q)), 0 where both are."""
    middle = ((p + q) * 0.5).clamp_min(TINY).log()
    return 0.5 * (p * (p.clamp_min(TINY).log() - middle) + q * (q.clamp_min(TINY).log() - middle))
