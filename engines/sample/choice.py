"""Chooses the next token of every row of a batch: the most likely one, or one at a temperature by a random number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


class Chooser(LogitsProcessor):  # type: ignore[misc]
    """Chooses the next token of every row, leaves no other possible, and keeps its log p and the entropy.

    Parameters
    ----------
    uniforms : sequence of float64 arrays or None
        For each row a number in [0, 1) for each of its tokens; None for the most likely tokens.
    temperature : float
        Of the rows with random numbers, > 0.
    start : int
        Tokens that every row already has.
    """

    def __init__(self, uniforms: Sequence[Numbers | None], temperature: float, start: int = 0) -> None:
        self._uniforms, self._temperature, self._start = uniforms, temperature, start
        self.logp: list[torch.Tensor] = []
        self.entropy: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of which each row has one that is not minus infinity, given the logits of all rows."""
        step = self._start + len(self.logp)
        logits = scores.double()
        token = logits.argmax(dim=-1)
        drawn = [row for row, numbers in enumerate(self._uniforms) if numbers is not None]
        if drawn:
            uniforms = torch.tensor([numbers[step] for numbers in self._uniforms if numbers is not None])
            token[drawn] = _inverse(logits[drawn] / self._temperature, uniforms.to(logits))
        log_p = torch.log_softmax(logits, dim=-1)
        self.logp.append(log_p.gather(1, token[:, None])[:, 0].cpu())
        # xlogy: a token of probability 0 adds nothing, where 0 · log 0 would be NaN.
        p = log_p.exp()
        self.entropy.append(-torch.xlogy(p, p).sum(dim=-1).cpu())
        return torch.full_like(scores, -torch.inf).scatter_(1, token[:, None], 0.0)


def _inverse(logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Return the token at which the cumulative distribution of each row passes its random number."""
    # In float64, so that a device that sums in another order all but never finds another token.
    cumulative = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    targets = (uniforms * cumulative[:, -1])[:, None]
    return torch.searchsorted(cumulative, targets, right=True)[:, 0].clamp_(max=logits.shape[1] - 1)
