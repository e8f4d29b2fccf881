"""Weights of groups that follow their losses: groups that stay far from the original get more of the gradient.

Every m steps w_g ← w_g · exp(max(0, ℓ_g − ℓ_o,g)), then renormalised such that the mean weight over the tokens of all
rows is 1. ℓ_g is the mean loss per token of the group over these m steps, ℓ_o,g what the same loss would be for the
original: (1 − w) times its nll, since its divergence from itself is 0.

Source: after Sheared-LLaMA (arXiv 2310.06694 §3.2), whose reference losses had to be guessed by a scaling law; here the
original's are known from scoring. Departures: the weights scale the loss of the selected rows instead of the share of
rows that are drawn, and losses are those of the training itself, which cost nothing, instead of held-out ones; in later
passes over the rows they are too low, and the weights move less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(eq=False)
class GroupWeights:
    """Weights of the groups of the training rows, and the losses since their last update."""

    names: tuple[str, ...]
    of: NDArray[np.int64]
    """Group of each training row, shape (n,)."""
    tokens: NDArray[np.int64]
    """Supervised tokens of each row, shape (n,)."""
    original: NDArray[np.float64]
    """Σ of the original's loss over the tokens of each row, nats, shape (n,)."""
    steps: int
    """m, steps between two updates."""
    log_weight: NDArray[np.float64] = field(init=False)
    excess: NDArray[np.float64] = field(init=False)
    """Latest max(0, ℓ − ℓ_o) of each group; a group without a token since the last update keeps it."""
    sums: NDArray[np.float64] = field(init=False)
    """Since the last update, shape (3, G): loss, the original's loss, tokens."""

    def __post_init__(self) -> None:
        self.log_weight, self.excess = np.zeros(len(self.names)), np.zeros(len(self.names))
        self.sums = np.zeros((3, len(self.names)))

    @property
    def weights(self) -> NDArray[np.float64]:
        """w_g, shape (G,), > 0, with mean 1 over the tokens of all rows."""
        share = np.bincount(self.of, weights=self.tokens, minlength=len(self.names)) / self.tokens.sum()
        weight: NDArray[np.float64] = np.exp(self.log_weight - self.log_weight.max())
        weight /= float(share @ weight)
        return weight

    def add(self, rows: Sequence[int], loss: NDArray[np.float64]) -> None:
        """Add a step's rows and the sum of the loss over each group's tokens, shape (G,)."""
        own, k = self.of[list(rows)], len(self.names)
        original = np.bincount(own, weights=self.original[list(rows)], minlength=k)
        tokens = np.bincount(own, weights=self.tokens[list(rows)], minlength=k)
        self.sums += np.stack([loss, original, tokens])

    def after_step(self, step: int) -> None:
        """Update the weights if step `step`, counted from 1, is a multiple of m."""
        if step % self.steps:
            return
        loss, original, tokens = self.sums
        seen = tokens > 0
        self.excess[seen] = np.maximum(0.0, (loss[seen] - original[seen]) / tokens[seen])
        self.log_weight += self.excess
        self.log_weight -= self.log_weight.max()
        self.sums[:] = 0.0

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, JSON-able."""
        return {name: getattr(self, name).tolist() for name in ("log_weight", "excess", "sums")}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name, values in state.items():
            setattr(self, name, np.asarray(values, dtype=np.float64))
