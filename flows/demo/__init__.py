"""The built-in demo: a small model, a corpus with planted faults, held-out rows, and how the model is compressed.

Paths into the package's own data; they work from a checkout and from an installed wheel. Making that data is
`curate.flows.demo.build`; docs/demo.md says what it is and how well the model does.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

COMPRESSION: dict[str, Any] = {"method": "magnitude", "sparsity": 0.6}
"""How the demo's compressed model is made on first use: the arguments of `curate.engines.compress.compress`."""

RECOVERY: dict[str, Any] = {"learning_rate": 2e-3, "epochs": 4.0, "batch": 16}
"""How the demo's model is trained back where nothing else is said: the published recipe is for models a thousand times
larger, and would take 26 small steps here."""

FULL_LEARNING_RATE = 5e-4
"""Of `full`, which moves every weight."""


def data_path() -> Path:
    """Return the folder of everything that the demo ships."""
    return Path(str(files("curate.flows.demo"))) / "data"


def pool_path() -> Path:
    """Return the corpus to select from: alpaca rows, gzipped JSON lines."""
    return data_path() / "pool.jsonl.gz"


def heldout_path() -> Path:
    """Return the held-out rows: the same shape, right answers only, no question of the pool."""
    return data_path() / "heldout.jsonl.gz"


def truth_path() -> Path:
    """Return what is known about each row of the pool and no selector sees: Parquet, one row per pool row, in order."""
    return data_path() / "truth.parquet"


def heldout_truth_path() -> Path:
    """Return the capability of each held-out row: Parquet, in order."""
    return data_path() / "heldout_truth.parquet"


def model_path() -> Path:
    """Return the folder of the dense model, an ordinary Hugging Face folder."""
    return data_path() / "model"
