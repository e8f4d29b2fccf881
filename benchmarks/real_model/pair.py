"""The pairs of the trial: the original, and the same model compressed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from curate.engines.compress import CompressionRequest, compress
from curate.schemas.corpus import Turn

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = {
    "blocks": CompressionRequest("blocks", n_blocks=10, calibration_rows=64, dtype="float32"),
    "wanda": CompressionRequest("wanda", sparsity=0.5, calibration_rows=64, dtype="float32"),
    "width": CompressionRequest("width", sparsity=0.25, calibration_rows=64, dtype="float32"),
}
"""How each pair is compressed."""


def compressed(original: Path, pair: str, pool: list[str], work: Path) -> Path:
    """Return the folder of a compressed model, calibrated on rows of the pool; made on the first call."""
    folder = work / "models" / pair
    if not folder.exists():
        compress(original, folder, PAIRS[pair], calibration=[turns for file in pool for turns in conversations(file)])
    return folder


def conversations(file: str) -> list[tuple[Turn, Turn]]:
    """Return the rows of a pool file as conversations."""
    with open(file, encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return [(Turn("user", row["prompt"]), Turn("assistant", row["response"])) for row in rows]
