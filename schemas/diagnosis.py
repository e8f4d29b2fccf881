"""Schema of a diagnosis artefact: measures of the parts of a model, in long form."""

from __future__ import annotations

import pyarrow as pa

DIAGNOSES = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
"""Main table: one row per metric and place. Long form, so that a new metric is no new schema."""

DIAGNOSES_ABOUT: dict[str, str] = {
    "kind": "what was measured: layers",
    "place": "number of the decoder layer, from 0",
    "metric": "influence: 1 − cosine of the hidden states before and after; change: their distance over the length of "
    "the first; angle: their angle / π; loss_without: rise of the loss in nats per token without the layer; "
    "error_from_original: distance of the hidden state after it from the original model's, over that one's length",
    "value": "mean over all tokens of the rows; larger = the layer matters more, or is damaged more",
}
