"""What a selection is: the pool that a selector reads, the decision it returns, and the ledger that keeps it.

A selector is a pure function ``select(pool, budget, settings, rng) -> Selection``. Knows nothing of files and models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

SELECTED = "selected"
BUDGET = "budget"
CONFLICT = "conflict"
EXCLUDED = "excluded"
FORGOTTEN = "forgotten"
DUPLICATE = "duplicate"
"""Followed by the kind: ``duplicate:lexical``, ``duplicate:semantic``."""
CONTAMINATED = "contaminated"

LEDGER = pa.schema(
    [
        pa.field("selection_id", pa.string(), nullable=False),
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("rank", pa.int32()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("related_id", pa.string()),
        pa.field("cluster", pa.int32()),
        pa.field("score", pa.float64()),
        pa.field("overlap", pa.float64()),
    ]
)
"""Main table of a selection, in corpus order: one row for **every** example. ``rank`` counts from 1 over the kept
rows; ``score`` is what the method ranked by (larger = taken earlier); ``overlap`` is how much a near-duplicate or a
contaminated row shares with ``related_id``, null elsewhere."""

ALLOCATION = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("eligible", pa.int64(), nullable=False),
        pa.field("degradation", pa.float64()),
        pa.field("budget", pa.float64()),
        pa.field("kept", pa.int64(), nullable=False),
        pa.field("filled", pa.int64(), nullable=False),
        pa.field("refused", pa.int64(), nullable=False),
        pa.field("ceiling", pa.float64()),
        pa.field("tau", pa.float64()),
    ]
)
"""Side table ``allocation``: one row per cluster. ``degradation`` is the mean ``cds`` in nats; ``budget`` what was
allotted (rows or tokens, as the budget was given); ``filled`` the kept rows that had been refused as conflicting and
were taken back to fill the budget; ``refused`` the rows left out as conflicting; ``ceiling`` (nats per token) and
``tau`` (rows) are those of the cluster's gain curve, null where the allocation does not look at it."""


@dataclass(frozen=True)
class Pool:
    """Everything a selector may look at, as parallel arrays in corpus order.

    All arrays have length n = number of examples after exact merging. Missing signals are simply absent.
    """

    example_id: NDArray[np.str_]
    eligible: NDArray[np.bool_]
    """False where an earlier stage already decided against the row; selectors never keep such a row."""
    reason: NDArray[np.object_]
    """Why a row is not eligible, a ledger reason (``""`` where it is)."""
    n_prompt_tokens: NDArray[np.int64]
    n_response_tokens: NDArray[np.int64]
    signals: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Signal name to values, NaN where not computed."""
    cluster: NDArray[np.int32] | None = None
    concepts: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None
    """Ragged concept ids as (offsets of shape (n + 1,), values): row i has ``values[offsets[i]:offsets[i + 1]]``."""
    embeddings: NDArray[np.float32] | None = None
    """Unit rows, shape (n, width)."""
    pinned: NDArray[np.bool_] | None = None
    """Rows that the user wants in whatever the method says; they count towards the budget."""

    def __len__(self) -> int:
        return len(self.example_id)


@dataclass(frozen=True)
class Selection:
    """A selector's decision about every row of its pool.

    ``order`` holds the kept rows, first taken first. ``reason`` holds a ledger reason for every row, ``related`` the
    row index it lost to (-1 where none), ``score`` what the method ranked by (NaN where it did not).
    """

    order: NDArray[np.int64]
    reason: NDArray[np.object_]
    related: NDArray[np.int64]
    score: NDArray[np.float64]
    allocation: tuple[dict[str, Any], ...] = ()
    """Rows of ``ALLOCATION``; empty for methods that do not look at clusters."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Numbers worth keeping: weights, filled share, overlap of normalisations."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""
