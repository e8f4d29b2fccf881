"""Counts the tokens of conversations as scoring and training will see them, without loading a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.engines.tokens.shared_template import shared_template
from curate.schemas.corpus import turns_of
from curate.schemas.token_counts import TOKEN_COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.engines.tokens.templates import Encoded, TemplateKind

    CountPart = Callable[[pa.RecordBatch], pa.RecordBatch]

ROWS_AT_ONCE = 1024
"""Rows whose tokens are in memory together."""


def counter(
    models: Sequence[str], layout: TemplateKind, max_length: int, *, trust_remote_code: bool = False
) -> tuple[CountPart, str]:
    """Return the function from rows to their counts, which loads the tokenizer once, and the template's digest.

    Parameters
    ----------
    models : sequence of str
        Folders or hub names, the original first if there are two; the last one's tokenizer, or the first's, is used.
    layout : {"auto", "chat", "plain"}
    max_length : int
        Capped by the models' contexts.

    Returns
    -------
    (callable, str)
        From a batch with ``example_id``, ``messages`` and ``tools`` to one of ``TOKEN_COUNTS``, in the same order; and
        `Template.digest`, which a recovery compares with its own.

    Raises
    ------
    InputError
        If a model has no usable configuration or tokenizer.
    """
    other = models[0] if len(models) > 1 else None
    template = shared_template(models[-1], other, layout, max_length, trust_remote_code=trust_remote_code)

    def count_part(rows: pa.RecordBatch) -> pa.RecordBatch:
        turns = [turns_of(messages) for messages in rows["messages"].to_pylist()]
        encoded = template.encode_many(turns, rows["tools"].to_pylist())
        responses = np.array([item.n_response for item in encoded], dtype=np.int32)
        columns = {
            "example_id": rows["example_id"].cast(pa.string()),
            "status": pa.array([status_of(item) for item in encoded], pa.string()),
            "n_prompt_tokens": np.array([len(item.ids) for item in encoded], dtype=np.int32) - responses,
            "n_response_tokens": responses,
            "truncated": np.array([item.truncated for item in encoded], dtype=bool),
        }
        return pa.RecordBatch.from_pydict(columns, schema=TOKEN_COUNTS)

    return count_part, template.digest()


def status_of(item: Encoded) -> str:
    """Return ``ok``, or why nothing can be learnt from a row: ``template_error`` or ``no_response_tokens``."""
    if item.error is not None:
        return "template_error"
    return "ok" if item.n_response else "no_response_tokens"
