"""Maps the rows of a batch to the hidden states that predict their supervised tokens, and token values back to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.models.output_head import hidden_states
from curate.engines.score.memory import concurrent_batches
from curate.engines.tokens.batching import BatchRunner, pad_right
from curate.schemas.corpus import turns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.engines.models.loading import LanguageModel
    from curate.engines.score.config import ScoreConfig
    from curate.engines.tokens.templates import Encoded, Template


def encode_rows(batch: pa.RecordBatch, template: Template) -> list[Encoded]:
    """Return the conversations of one batch as token ids with their supervision mask, in order."""
    conversations = [turns_of(messages) for messages in batch.column("messages").to_pylist()]
    tools = batch.column("tools").to_pylist() if "tools" in batch.schema.names else None
    return template.encode_many(conversations, tools)


def batch_runner(model: LanguageModel, config: ScoreConfig) -> BatchRunner:
    """Return the runner of a model's batches: their token budget, and how many run concurrently."""
    return BatchRunner(config.tokens_per_batch(model.device.type), concurrency(model, config.chunk_tokens))


def concurrency(model: LanguageModel, chunk_tokens: int) -> int:
    """Return how many batches of a model are computed concurrently."""
    return concurrent_batches(model.device.type, torch.get_num_threads(), chunk_tokens, model.head.vocabulary)


def response_tokens(rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the supervised token ids of all rows, (M,) int64, example after example."""
    return torch.from_numpy(np.concatenate([item.ids[item.supervised] for item in rows]))


def response_states(model: LanguageModel, rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the final hidden states that predict the supervised tokens, (M, d), example after example."""
    return of_responses(all_states(model, rows), rows)


def all_states(model: LanguageModel, rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the final hidden states of all tokens, (B, T, d), rows padded on the right."""
    return hidden_states(model.model, pad_right([item.ids for item in rows]).to(model.device))


def of_responses(states: torch.Tensor, rows: Sequence[Encoded]) -> torch.Tensor:
    """Return those of `all_states` that predict the supervised tokens, (M, d), example after example."""
    # Selected before the output head: prompts and padding never reach the (M, V) logits.
    return states.flatten(0, 1)[response_positions(rows, states.shape[1]).to(states.device)]


def response_positions(rows: Sequence[Encoded], width: int) -> torch.Tensor:
    """Return the positions of the states that predict supervised tokens, (M,) int64.

    Parameters
    ----------
    rows : sequence of Encoded
    width : int
        Tokens per padded row; positions count through the flattened batch.
    """
    # The state at position t - 1 predicts token t.
    positions = [row * width + np.flatnonzero(item.supervised) - 1 for row, item in enumerate(rows)]
    return torch.from_numpy(np.concatenate(positions))


def segment_means(values: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of each run of `lengths` consecutive values, NaN for an empty run."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.bincount(owner, weights=values, minlength=len(lengths))
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / lengths
