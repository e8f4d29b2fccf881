"""Calibration rows: a random draw of conversations, tokenised with the model's own chat template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from curate.schemas.corpus import Turn, turns_of
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from curate.engines.tokens.templates import Template

Calibration = Sequence[pa.RecordBatch] | Sequence[Sequence[Turn]]
"""Batches with a ``messages`` column (and ``tools``, if present), or conversations as turns."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Calibration rows, and how layers run on them."""

    rows: Sequence[torch.Tensor]
    """Conversations as token ids, each (1, T) int64; empty where the order needs none."""
    device: torch.device
    dtype: torch.dtype
    progress: Callable[[int, int], None] | None = None

    @property
    def tokens(self) -> int:
        """Number of calibration tokens."""
        return sum(row.shape[1] for row in self.rows)


def draw_calibration_rows(calibration: Calibration, template: Template, n_rows: int, seed: int) -> list[torch.Tensor]:
    """Return the token ids of `n_rows` conversations drawn without replacement, each (1, T) int64.

    Fewer when there are fewer; conversations that the template cannot render are left out. The draw depends on the
    number of conversations and the seed only, and keeps their order.

    Raises
    ------
    InputError
        When no conversation has a token.
    """
    sizes = [item.num_rows if isinstance(item, pa.RecordBatch) else 1 for item in calibration]
    total = sum(sizes)
    # The first entries of one permutation: for a larger `n_rows` the same seed draws a superset of the rows.
    drawn = np.sort(np.random.default_rng(seed).permutation(total)[:n_rows])
    starts = np.cumsum([0, *sizes])
    conversations: list[tuple[Sequence[Turn], str | None]] = []
    for item, start, stop in zip(calibration, starts[:-1], starts[1:], strict=True):
        conversations += [_conversation(item, int(row - start)) for row in drawn[(drawn >= start) & (drawn < stop)]]
    encoded = template.encode_many([turns for turns, _ in conversations], [tools for _, tools in conversations])
    rows = [torch.from_numpy(item.ids)[None] for item in encoded if len(item.ids)]
    if not rows:
        raise InputError(f"none of {total} calibration conversations has a token; give other calibration rows")
    return rows


def _conversation(item: pa.RecordBatch | Sequence[Turn], row: int) -> tuple[Sequence[Turn], str | None]:
    if not isinstance(item, pa.RecordBatch):
        return item, None
    tools = item.column("tools")[row].as_py() if "tools" in item.schema.names else None
    return turns_of(item.column("messages")[row].as_py()), tools
