"""Reads the group and the original's loss of each training row, which come with the rows of a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.engines.recover.training.group_weights import GroupWeights
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.recover.training.rows import Rows
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

COLUMNS = ("group", "nll_original")


def read_group_weights(rows: Rows, encoded: Sequence[Encoded], request: RecoveryRequest) -> GroupWeights | None:
    """Return the weights of the groups of the rows, all alike; None unless the request reweighs them.

    Parameters
    ----------
    rows : sequence of RecordBatch
        With the columns ``group`` (text) and ``nll_original`` (nats per token).
    encoded : sequence of Encoded
        The same rows with their tokens.
    request : RecoveryRequest

    Raises
    ------
    InputError
        If rows lack a group or the original's loss, or one has no supervised token.
    """
    if request.reweigh_steps is None:
        return None
    batches = [batch for batch in rows if isinstance(batch, pa.RecordBatch) and set(COLUMNS) <= set(batch.schema.names)]
    names, nll = ([value for batch in batches for value in batch.column(name).to_pylist()] for name in COLUMNS)
    if len(names) != len(encoded) or None in names or None in nll:
        raise InputError(
            f"groups and losses of the original are known for {len(names)} rows, and {len(encoded)} are trained on; "
            "select with scores of a pair and with clusters or --groups, or leave out --reweigh"
        )
    group_names, of = np.unique(np.array(names), return_inverse=True)
    tokens = np.array([item.n_response for item in encoded])
    # The original's divergence from itself is 0, so that only the cross-entropy's share of the loss remains.
    original = (1.0 - request.teacher_weight) * np.array(nll, dtype=np.float64) * tokens
    return GroupWeights(tuple(group_names.tolist()), of.astype(np.int64), tokens, original, request.reweigh_steps)
