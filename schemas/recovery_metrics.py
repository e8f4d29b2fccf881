"""Schema of a recovery's training metrics."""

from __future__ import annotations

import pyarrow as pa

METRICS = pa.schema(
    [
        pa.field("step", pa.int32(), nullable=False),
        pa.field("epoch", pa.float64(), nullable=False),
        pa.field("loss", pa.float64(), nullable=False),
        pa.field("gradient_norm", pa.float64(), nullable=False),
        pa.field("learning_rate", pa.float64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)
"""Main table of a recovery: one row per optimiser step."""
METRICS_ABOUT: dict[str, str] = {
    "step": "optimiser step, from 1",
    "epoch": "passes over the rows after the step",
    "loss": "mean over the step's supervised tokens, before the step; nats, >= 0",
    "gradient_norm": "norm of the gradient before clipping, >= 0",
    "learning_rate": "learning rate of the step",
    "tokens": "tokens of the step, without padding",
    "seconds": "wall time of the step",
}
