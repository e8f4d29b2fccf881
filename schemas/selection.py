"""Selections: the pool that a method reads, the decision it returns, and the ledger schema.

A method is a pure function ``select(pool, budget, in_tokens, settings, rng) -> Decision``.
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
        pa.field("group", pa.string()),
    ]
)
"""Main table of a selection, in corpus order: one row for **every** example. ``rank`` counts from 1 over the kept
rows; ``score`` is the method's score (larger = taken earlier); ``overlap`` is the similarity of a near-duplicate or a
contaminated row to ``related_id``, null elsewhere; ``group`` the source or group whose budget the row competes for,
null where that is a cluster's, and absent in selections from before there were groups."""

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
        pa.field("group", pa.string()),
    ]
)
"""Side table ``allocation``: one row per cluster or other group. ``degradation`` is the mean ``cds`` in nats;
``budget`` that of the cluster (rows or tokens, as given); ``filled`` the kept rows that had been refused as
conflicting and were taken back to fill the budget; ``refused`` the rows left out as conflicting; ``ceiling`` (nats
per token) and ``tau`` (rows) are those of the cluster's gain curve, null if the allocation does not use it;
``group`` is the name of a group that is not a cluster, and ``cluster`` its number."""


@dataclass(frozen=True)
class Grouping:
    """Groups of rows other than clusters, among which a budget is divided."""

    of: NDArray[np.int32]
    """Number of each row's group, shape (n,), from 0."""
    names: tuple[str, ...]
    """Name of each group."""


@dataclass(frozen=True)
class RowVectors:
    """One vector for each row: a gradient sketch or a mean hidden state."""

    unit: NDArray[np.float16]
    """Directions, shape (n, width), unit length; NaN where a row has no vector, zeros where its length is 0."""
    length: NDArray[np.float64]
    """Lengths, shape (n,), > 0; 1 where only the direction is stored."""


@dataclass(frozen=True)
class Pool:
    """Input of a selection method, as parallel arrays in corpus order.

    All arrays have length n = number of examples after exact merging. Signals that were not computed are absent.
    """

    example_id: NDArray[np.str_]
    eligible: NDArray[np.bool_]
    """False where an earlier stage ruled the row out; no method keeps it."""
    reason: NDArray[np.object_]
    """Why a row is not eligible, a ledger reason (``""`` where it is)."""
    n_prompt_tokens: NDArray[np.int64]
    n_response_tokens: NDArray[np.int64]
    signals: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Signal name to values, NaN where not computed."""
    cluster: NDArray[np.int32] | None = None
    concepts: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None
    """Concept ids as (offsets of shape (n + 1,), values): row i has ``values[offsets[i]:offsets[i + 1]]``."""
    embeddings: NDArray[np.float32] | None = None
    """Unit rows, shape (n, width)."""
    group: Grouping | None = None
    """Sources or groups of the user's naming, where the method divides its budget among these."""
    vectors: RowVectors | None = None
    """Representations of the rows, where the method reads any."""
    target: RowVectors | None = None
    """Those of the rows of ``--target``, where there is one."""
    pinned: NDArray[np.bool_] | None = None
    """Rows to keep whatever their score; they count towards the budget."""

    def __len__(self) -> int:
        return len(self.example_id)


@dataclass(frozen=True)
class Decision:
    """Decision of a selection method about every row of its pool.

    ``order`` holds the kept rows, first taken first. ``reason`` holds a ledger reason for every row, ``related`` the
    row index of the row it lost to (-1 if none), ``score`` the method's score (NaN if none).
    """

    order: NDArray[np.int64]
    reason: NDArray[np.object_]
    related: NDArray[np.int64]
    score: NDArray[np.float64]
    allocation: tuple[dict[str, Any], ...] = ()
    """Rows of ``ALLOCATION``; empty for methods without clusters."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Figures for the manifest: weights, filled share, overlap of normalisations."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""
