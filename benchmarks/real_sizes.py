"""How large the trial on real data is: the model, the rows, the compressions and the training of a cell. Only values.

What is compared was fixed with `uniform` alone, before any other method was run (docs/real-data.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from real_model import Stopping
from real_rows import Sizes

from curate.engines.pretrain import PretrainConfig


@dataclass(frozen=True)
class Size:
    """Everything that decides what is measured."""

    model: PretrainConfig
    stopping: Stopping
    rows: Sizes
    recipe: dict[str, Any]
    """Training of a cell: the section ``recover`` of the settings."""
    compressions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: what `curate.engines.compress.compress` is asked; the first is that of the primary comparison."""


def _compressions(blocks: int) -> dict[str, dict[str, Any]]:
    return {"wanda": {"method": "wanda", "sparsity": 0.5}, "blocks": {"method": "blocks", "n_blocks": blocks}}


SIZES = {
    # 42.5 million parameters.
    "gpu": Size(
        PretrainConfig(
            vocabulary=16_384, hidden=512, layers=8, heads=8, intermediate=1408, positions=512, batch=64,
            learning_rate=8e-4, weight_decay=0.1,
        ),
        Stopping(seconds=1200, check_every=200, patience=3),
        Sizes(training=None, pool=None, tests=1000, facts=300, validation=1024),
        {"learning_rate": 5e-4, "batch": 32, "epochs": 2.0},
        _compressions(2),
    ),
    # What two shared cores train in half an hour.
    "cpu": Size(
        PretrainConfig(
            vocabulary=2048, hidden=128, layers=5, heads=4, intermediate=384, positions=256, batch=16,
            learning_rate=2e-3,
        ),
        Stopping(seconds=1500, check_every=200, patience=3),
        Sizes(training=20_000, pool=10_000, tests=150, facts=80, validation=256),
        {"learning_rate": 3e-3, "batch": 16, "epochs": 1.0},
        _compressions(1),
    ),
    # Only to see that it runs.
    "toy": Size(
        PretrainConfig(
            vocabulary=400, hidden=32, layers=2, heads=2, intermediate=48, positions=128, batch=4, learning_rate=1e-2
        ),
        Stopping(seconds=6, check_every=20, patience=3),
        Sizes(training=None, pool=None, tests=12, facts=6, validation=64),
        {"learning_rate": 1e-3, "batch": 8, "epochs": 1.0},
        _compressions(1),
    ),
}  # fmt: skip
