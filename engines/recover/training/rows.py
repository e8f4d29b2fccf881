"""Training rows: encodes conversations with the scoring template, orders them by seed and step, and batches them.

The rows of a step follow from its number alone, so that a resumed run needs no replay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from curate.engines.tokens.batching import pad_right
from curate.schemas.corpus import Turn, turns_of
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.engines.tokens.templates import Encoded, Template

Rows = Sequence[pa.RecordBatch] | Sequence[Sequence[Turn]]
"""Batches with a ``messages`` column (and ``tools``, if present), or conversations as turns."""


def encode_rows(template: Template, rows: Rows) -> tuple[list[Encoded], int]:
    """Return the rows that have a supervised token, in order, and the number of rows that have none.

    Raises
    ------
    InputError
        When there are no rows, or none has a supervised token: training would learn nothing.
    """
    conversations: list[Sequence[Turn]] = []
    tools: list[str | None] = []
    for item in rows:
        if isinstance(item, pa.RecordBatch):
            conversations += [turns_of(messages) for messages in item.column("messages").to_pylist()]
            has_tools = "tools" in item.schema.names
            tools += item.column("tools").to_pylist() if has_tools else [None] * item.num_rows
        else:
            conversations.append(item)
            tools.append(None)
    encoded = template.encode_many(conversations, tools)
    supervised = [item for item in encoded if item.n_response]
    if not supervised:
        first_error = next((item.error for item in encoded if item.error), None)
        raise InputError(
            f"none of {len(encoded)} rows has a supervised token within {template.max_length} tokens"
            + (f" (template error: {first_error})" if first_error else "")
            + "; raise --max-length, or give rows with an assistant turn"
        )
    return supervised, len(encoded) - len(supervised)


def with_prompts(row: Encoded) -> Encoded:
    """Return a row of which every token counts that anything predicts: all but the first."""
    return replace(row, supervised=np.arange(len(row.ids)) > 0)


BatchLoss = Callable[["Batch"], torch.Tensor]
"""From a batch to the sum of its loss over the supervised tokens that count."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The rows of each optimiser step: passes over all rows, each in a new random order."""

    n_rows: int
    batch: int
    epochs: float
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass; the last takes the remaining rows."""
        return math.ceil(self.n_rows / self.batch)

    @property
    def steps(self) -> int:
        """Steps in all, ≥ 1 unless there are no epochs."""
        return max(1, round(self.epochs * self.steps_per_epoch)) if self.epochs else 0

    def rows(self, step: int) -> list[int]:
        """Return the rows of step `step`, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        # Seeded by the epoch rather than drawn from one generator: any step can be recomputed without those before it.
        order = np.random.default_rng([self.seed, epoch]).permutation(self.n_rows)
        return [int(row) for row in order[index * self.batch : (index + 1) * self.batch]]


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows of one forward pass with M supervised tokens."""

    ids: torch.Tensor
    """Shape (B, longest), int64, padded on the right."""
    positions: torch.Tensor
    """Shape (M,), int64: flat positions whose hidden state predicts a supervised token."""
    targets: torch.Tensor
    """Shape (M,), int64: those tokens."""
    rows: tuple[Encoded, ...]
    """The B rows."""
    kept: torch.Tensor | None = None
    """Shape (M,), int64: which of the rows' supervised tokens these are; None for all of them."""

    @property
    def n_tokens(self) -> int:
        """Tokens without padding."""
        return sum(len(item.ids) for item in self.rows)


def make_batch(
    rows: Sequence[Encoded], device: torch.device, counted: Sequence[NDArray[np.bool_]] | None = None
) -> Batch:
    """Return `rows` as one padded batch on `device`; `counted` tells which supervised tokens of each row count."""
    ids = pad_right([item.ids for item in rows])
    # The state at position t - 1 predicts token t.
    positions = np.concatenate(
        [row * ids.shape[1] + np.flatnonzero(item.supervised) - 1 for row, item in enumerate(rows)]
    )
    targets = np.concatenate([item.ids[item.supervised] for item in rows])
    kept = None if counted is None else np.flatnonzero(np.concatenate(counted))
    chosen = slice(None) if kept is None else kept
    return Batch(
        ids.to(device),
        torch.from_numpy(positions[chosen]).to(device),
        torch.from_numpy(targets[chosen]).to(device),
        tuple(rows),
        None if kept is None else torch.from_numpy(kept).to(device),
    )
