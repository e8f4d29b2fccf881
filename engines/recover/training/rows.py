"""Conversations to train on: encoded by scoring's own template, in an order that the seed and the step decide.

A step's rows follow from its number alone, so that a resumed run needs no replay. Knows nothing of models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from curate.engines.tokens.batching import pad_right
from curate.schemas.corpus import Turn, turns_of
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from curate.engines.tokens.templates import Encoded, Template

Rows = Sequence[pa.RecordBatch] | Sequence[Sequence[Turn]]
"""Batches with a ``messages`` column (and ``tools``, if there), or conversations as turns."""


def encode_rows(template: Template, rows: Rows) -> tuple[list[Encoded], int]:
    """Return the rows that have a supervised token, in order, and how many have none.

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
            there = "tools" in item.schema.names
            tools += item.column("tools").to_pylist() if there else [None] * item.num_rows
        else:
            conversations.append(item)
            tools.append(None)
    encoded = template.encode_many(conversations, tools)
    useful = [item for item in encoded if item.n_response]
    if not useful:
        first = next((item.error for item in encoded if item.error), None)
        raise InputError(
            f"none of {len(encoded)} rows has a supervised token within {template.max_length} tokens"
            + (f" (the template says: {first})" if first else "")
            + "; raise --max-length, or give rows with an assistant turn"
        )
    return useful, len(encoded) - len(useful)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rows each optimiser step takes: passes over all rows, each in a new random order."""

    n_rows: int
    batch: int
    epochs: float
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass; the last takes what is left."""
        return math.ceil(self.n_rows / self.batch)

    @property
    def steps(self) -> int:
        """Steps in all, ≥ 1 unless there are no epochs."""
        return max(1, round(self.epochs * self.steps_per_epoch)) if self.epochs else 0

    def rows(self, step: int) -> list[int]:
        """Return the rows of step `step`, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.n_rows)
        return [int(row) for row in order[place * self.batch : (place + 1) * self.batch]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one forward pass."""

    ids: torch.Tensor
    """Shape (B, longest), int64, padded on the right."""
    places: torch.Tensor
    """Shape (M,), int64: flat positions whose state predicts a supervised token."""
    targets: torch.Tensor
    """Shape (M,), int64: those tokens."""
    rows: tuple[Encoded, ...]
    """What it was made of, B rows."""

    @property
    def n_tokens(self) -> int:
        """Tokens without padding."""
        return sum(len(item.ids) for item in self.rows)


def make_batch(rows: Sequence[Encoded], device: torch.device) -> Batch:
    """Return rows side by side, on `device`."""
    ids = pad_right([item.ids for item in rows])
    # The state at position t - 1 predicts token t.
    places = np.concatenate([row * ids.shape[1] + np.flatnonzero(item.supervised) - 1 for row, item in enumerate(rows)])
    targets = np.concatenate([item.ids[item.supervised] for item in rows])
    return Batch(
        ids.to(device),
        torch.from_numpy(places).to(device),
        torch.from_numpy(targets).to(device),
        tuple(rows),
    )
