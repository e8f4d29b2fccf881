"""An answer that a model gave, and the judgement of a row's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answer:
    """One drawn answer."""

    text: str
    """Without control tokens and outer white space."""
    n_tokens: int
    """Tokens drawn, ≥ 1, the end token included."""
    mean_logp: float
    """Mean of log p of these tokens under the model, nats."""
    stopped_early: bool
    """Whether it was cut off before its end."""
    mean_entropy: float = 0.0
    """Mean of the entropy of the predictions of these tokens, nats, >= 0."""
    state: NDArray[np.float32] | None = None
    """Final hidden state of its last token, shape (width,); None where no scorer reads it."""
    pruned: bool = False
    """Whether it was cut off because others of its row had a higher running score: whether it is right is unknown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of all answers drawn for one row so far."""

    passed: tuple[bool | None, ...]
    """Whether each equals the reference; None where there was no comparison, or the answer was pruned."""
    scores: tuple[float, ...]
    """Score of each in [0, 1], larger = better."""
    accepted: int | None
    """Position of the accepted answer; None while there is none."""
