"""Schema of a diagnosis artefact: measures of the parts of a model, in long form."""

from __future__ import annotations

import pyarrow as pa

DIAGNOSES = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("block", pa.string()),
        pa.field("expert", pa.int32()),
        pa.field("cluster", pa.int32()),
    ]
)
"""Main table: one row per metric and measured part. Long form, so that a new metric is no new schema."""

DIAGNOSES_ABOUT: dict[str, str] = {
    "kind": "what was measured: layers, experts, prompts or paths",
    "place": "number of the decoder layer, from 0; the wording in its list; the searched item; rank of a path",
    "metric": "of layers: influence: 1 − cosine of the hidden states before and after; change: their distance over the "
    "length of the first; angle: their angle / π; loss_without: rise of the loss in nats per token without the layer; "
    "error_from_original: distance of the hidden state after it from the original model's, over that one's length; "
    "of experts: usage: share of the router's choices; gate_mass: mean gate over all tokens; output_norm: mean norm of "
    "the output over the tokens that chose the expert; effective: effective number of experts of the router; "
    "of prompts: influence: rise of the mean log share of the right option over no wording, in nats; score and "
    "score_original: share of the items answered rightly by the model and by its original; "
    "of paths: full_right, best_right: whether all layers, or any path of the search, answer an item rightly; "
    "shortest_right: layers of the shortest such path; simulations: visits of its search; accuracy, accuracy_random: "
    "share of the held-out items that a frequent path, or random ones of its length, answer rightly",
    "value": "mean over all tokens of the rows; of layers, larger = the layer matters more, or is damaged more; of "
    "experts, larger = used more; of prompts, over all items",
    "block": "path of the experts inside the layer, such as mlp; null for measures of layers",
    "expert": "number of the expert, from 0; null for measures of a layer or of a router",
    "cluster": "cluster whose rows were measured; null if all rows were measured together",
}
