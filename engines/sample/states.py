"""The final hidden state of each answer's last token, which a self-evaluation reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.evaluate.generation import by_length
from curate.engines.models.output_head import hidden_states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel


def final_states(
    model: PreTrainedModel, sequences: Sequence[NDArray[np.int64]], batch_size: int = 64
) -> list[NDArray[np.float32]]:
    """Return the hidden state after the final norm at the last token of every sequence, shape (width,).

    One forward pass over prompt and answer; sequences are padded on the right, where causal attention never looks.

    Parameters
    ----------
    sequences : sequence of int64 arrays of shape (n,)
        Prompt and answer, without the token that ended it; at least one token.
    """
    states: dict[int, NDArray[np.float32]] = {}
    for rows in by_length([len(one) for one in sequences], batch_size):
        tokens = np.zeros((len(rows), len(sequences[rows[0]])), dtype=np.int64)
        for place, row in enumerate(rows):
            tokens[place, : len(sequences[row])] = sequences[row]
        last = torch.tensor([len(sequences[row]) - 1 for row in rows])
        with torch.inference_mode():
            hidden = hidden_states(model, torch.from_numpy(tokens).to(model.device))
            chosen = hidden[torch.arange(len(rows), device=hidden.device), last.to(hidden.device)].float().cpu().numpy()
        states |= zip(rows, chosen, strict=True)
    return [states[row] for row in range(len(sequences))]
