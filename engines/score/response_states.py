"""From rows of a batch to the states that predict their supervised tokens, and back from tokens to rows.

Knows nothing of output layers and of signals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.models.output_head import hidden_states
from curate.engines.score.memory import BATCH_TOKENS, BATCH_TOKENS_OTHER, batches_at_once
from curate.engines.tokens.batching import BatchRunner, pad_right
from curate.schemas.corpus import turns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.engines.models.loading import LanguageModel
    from curate.engines.tokens.templates import Encoded, Template


def encode_rows(batch: pa.RecordBatch, template: Template) -> list[Encoded]:
    """Return the conversations of one batch as token ids with what is supervised of them, in order."""
    conversations = [turns_of(messages) for messages in batch.column("messages").to_pylist()]
    tools = batch.column("tools").to_pylist() if "tools" in batch.schema.names else None
    return template.encode_many(conversations, tools)


def runner(model: LanguageModel, batch_tokens: int | None, chunk_tokens: int, share: int = 1) -> BatchRunner:
    """Return how batches of a model are run: the tokens of each, and how many at a time.

    `share` divides the tokens where nobody said how many.
    """
    budget = batch_tokens or BATCH_TOKENS.get(model.device.type, BATCH_TOKENS_OTHER) // share
    return BatchRunner(budget, workers(model, chunk_tokens))


def workers(model: LanguageModel, chunk_tokens: int) -> int:
    """Return how many batches are computed at once."""
    return batches_at_once(model.device.type, torch.get_num_threads(), chunk_tokens, model.head.vocabulary)


def response_tokens(rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the supervised token ids of all rows, (M,) int64, example after example."""
    return torch.from_numpy(np.concatenate([item.ids[item.supervised] for item in rows]))


def response_states(model: LanguageModel, rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the final hidden states that predict the supervised tokens, (M, d), example after example."""
    ids = pad_right([item.ids for item in rows])
    device = model.device
    states = hidden_states(model.model, ids.to(device))
    return states.flatten(0, 1)[response_places(rows, ids.shape[1]).to(device)]


def response_places(rows: Sequence[Encoded], width: int) -> torch.Tensor:
    """Return where in a flattened batch of `width` tokens a row the states stand that predict supervised tokens."""
    # The state at position t - 1 predicts token t.
    places = [row * width + np.flatnonzero(item.supervised) - 1 for row, item in enumerate(rows)]
    return torch.from_numpy(np.concatenate(places))


def segment_means(values: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of each run of `lengths` consecutive values, NaN for an empty run."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.bincount(owner, weights=values, minlength=len(lengths))
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / lengths
