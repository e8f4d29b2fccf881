"""Schema of a tokens artefact: how many tokens each row has for a model, in corpus order.

Methods that read no score of a row, but a budget in tokens or its length, read this instead of scores.
"""

import pyarrow as pa

TOKEN_COUNTS = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("n_prompt_tokens", pa.int32(), nullable=False),
        pa.field("n_response_tokens", pa.int32(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
    ]
)
"""Main table; the columns are those of `curate.schemas.scores.SCORES`. ``status`` is ``ok``, ``no_response_tokens`` or
``template_error``."""

TOKEN_COUNTS_ABOUT = {
    "status": "ok, no_response_tokens or template_error; only rows that are ok can be selected",
    "n_prompt_tokens": "unsupervised tokens, after truncation",
    "n_response_tokens": "supervised tokens, after truncation",
    "truncated": "true if the conversation was longer than max_length",
}
