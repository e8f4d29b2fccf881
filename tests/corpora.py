"""Small corpora from the vocabulary of the tiny test models."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from models import WORDS

if TYPE_CHECKING:
    from pathlib import Path


def write_corpus(path: Path, rows: int = 40, seed: int = 0) -> Path:
    """Write distinct alpaca rows of words from the vocabulary of the tiny models."""
    draw = random.Random(seed)
    lines = []
    for row in range(rows):
        words = draw.choices(WORDS, k=6)
        lines.append(
            json.dumps({"instruction": f"say {row} " + " ".join(words), "input": "", "output": " ".join(words[:3])})
        )
    path.write_text("\n".join(lines) + "\n")
    return path
