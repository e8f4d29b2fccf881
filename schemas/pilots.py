"""Schemas of a pilots artefact: losses before and after pilot recoveries, and gain curves of clusters."""

from __future__ import annotations

import pyarrow as pa

PILOTS = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("loss_before", pa.float64(), nullable=False),
        pa.field("loss_after", pa.float64(), nullable=False),
        pa.field("heldout_rows", pa.int64(), nullable=False),
        pa.field("heldout_tokens", pa.int64(), nullable=False),
    ]
)
"""Main table: one row per pilot, ordered by cluster and size."""

PILOTS_ABOUT: dict[str, str] = {
    "cluster": "number of the cluster, from 0",
    "rows": "rows of the cluster that the pilot was trained on",
    "tokens": "tokens of all passes, without padding",
    "loss_before": "mean over the supervised tokens of the held-out rows under the compressed model; nats, >= 0",
    "loss_after": "the same after the pilot",
    "heldout_rows": "rows of the same cluster that the losses are measured on; no pilot trains on them",
    "heldout_tokens": "their supervised tokens",
}

LOSSES = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
        pa.field("before", pa.float64(), nullable=False),
        pa.field("after", pa.float64(), nullable=False),
    ]
)
"""Side table ``losses``: one row per pilot and held-out row; sums of −log p over its supervised tokens, nats."""

CURVES = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("usable", pa.int64(), nullable=False),
        pa.field("pooled", pa.bool_(), nullable=False),
        *(pa.field(f"ceiling{end}", pa.float64(), nullable=False) for end in ("", "_low", "_high")),
        *(pa.field(f"tau{end}", pa.float64(), nullable=False) for end in ("", "_low", "_high")),
    ]
)
"""Side table ``curves``: one row per cluster, by number."""

CEILING_ABOUT = "limit of the decrease of the held-out loss with many rows, nats per token, >= 0"
TAU_ABOUT = "rows after which 63 % of the ceiling is reached, > 0, larger = slower"

CURVES_ABOUT: dict[str, str] = {
    "cluster": "number of the cluster, from 0",
    "usable": "rows of the cluster that pilots can use",
    "pooled": "true if the cluster is too small for pilots and has the pooled curve of all clusters with pilots",
    "ceiling": CEILING_ABOUT,
    "ceiling_low": "lower end of its 95 % interval",
    "ceiling_high": "upper end",
    "tau": TAU_ABOUT,
    "tau_low": "lower end of its 95 % interval",
    "tau_high": "upper end",
}
