"""Sizes of the comparison on real data: model, rows, compressions, and the training of each cell.

The training settings were chosen with `uniform` only, before any other method was run (docs/real-data.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from real_rows import RowCounts
from real_training import EarlyStopping

from curate.engines.pretrain import PretrainConfig


@dataclass(frozen=True)
class ComparisonSize:
    """Model, rows, compressions and training of one size."""

    model: PretrainConfig
    stopping: EarlyStopping
    rows: RowCounts
    recipe: dict[str, Any]
    """Training settings of a cell: the section ``recover``."""
    compressions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: fields of `curate.engines.compress.CompressionRequest`; the first belongs to the primary comparison."""


def _compressions(blocks: int) -> dict[str, dict[str, Any]]:
    return {"wanda": {"method": "wanda", "sparsity": 0.5}, "blocks": {"method": "blocks", "n_blocks": blocks}}


SIZES = {
    # 42.5 million parameters.
    "gpu": ComparisonSize(
        PretrainConfig(
            vocabulary=16_384, hidden=512, layers=8, heads=8, intermediate=1408, positions=512, batch=64,
            learning_rate=8e-4, weight_decay=0.1,
        ),
        EarlyStopping(seconds=1200, check_every=200, patience=3),
        RowCounts(training=None, pool=None, tests=1000, facts=300, validation=1024),
        {"learning_rate": 5e-4, "batch": 32, "epochs": 2.0},
        _compressions(2),
    ),
    # Trains in half an hour on two shared cores.
    "cpu": ComparisonSize(
        PretrainConfig(
            vocabulary=2048, hidden=128, layers=5, heads=4, intermediate=384, positions=256, batch=16,
            learning_rate=2e-3,
        ),
        EarlyStopping(seconds=1500, check_every=200, patience=3),
        RowCounts(training=20_000, pool=10_000, tests=150, facts=80, validation=256),
        {"learning_rate": 3e-3, "batch": 16, "epochs": 1.0},
        _compressions(1),
    ),
    # For tests.
    "toy": ComparisonSize(
        PretrainConfig(
            vocabulary=400, hidden=32, layers=2, heads=2, intermediate=48, positions=128, batch=4, learning_rate=1e-2
        ),
        EarlyStopping(seconds=6, check_every=20, patience=3),
        RowCounts(training=None, pool=None, tests=12, facts=6, validation=64),
        {"learning_rate": 1e-3, "batch": 8, "epochs": 1.0},
        _compressions(1),
    ),
}  # fmt: skip
