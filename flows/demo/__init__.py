"""The built-in demo: a small model, a corpus with planted faults, held-out rows and compression settings.

Paths into the package's own data; they work from a checkout and from an installed wheel. `curate.flows.demo.build`
creates that data; docs/demo.md describes it and the accuracy of the model.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

COMPRESSION: dict[str, Any] = {"method": "magnitude", "sparsity": 0.6}
"""Fields of the `curate.engines.compress.CompressionRequest` that creates the demo's compressed model on first use."""

RECOVERY: dict[str, Any] = {"learning_rate": 2e-3, "epochs": 4.0, "batch": 16}
"""Default recovery settings of the demo's model: the published recipe is for models a thousand times larger, and would
take 26 small steps here."""

FULL_LEARNING_RATE = 5e-4
"""Learning rate of the method ``full`` on the demo: it updates every weight, so it needs smaller steps."""


def data_path() -> Path:
    """Return the folder of the data files shipped with the demo."""
    return Path(str(files("curate.flows.demo"))) / "data"


def pool_path() -> Path:
    """Return the corpus to select from: alpaca rows, gzipped JSON lines."""
    return data_path() / "pool.jsonl.gz"


def heldout_path() -> Path:
    """Return the held-out rows: the same format, correct answers only, no question of the pool."""
    return data_path() / "heldout.jsonl.gz"


def truth_path() -> Path:
    """Return the ground truth of the pool, hidden from selectors: Parquet, one row per pool row, in order."""
    return data_path() / "truth.parquet"


def heldout_truth_path() -> Path:
    """Return the capability of each held-out row: Parquet, in order."""
    return data_path() / "heldout_truth.parquet"


def model_path() -> Path:
    """Return the folder of the dense model, an ordinary Hugging Face folder."""
    return data_path() / "model"
