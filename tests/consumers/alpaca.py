"""Loads Stanford Alpaca's format as its readers do, written from its documentation, independently of the exporter.

Source: "Stanford Alpaca: An Instruction-following LLaMA Model", data release
(https://github.com/tatsu-lab/stanford_alpaca#data-release): a JSON list of objects with ``instruction`` (str),
``input`` (str, optional context, may be empty) and ``output`` (str).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def load(path: Path) -> list[tuple[str, str]]:
    """Return prompt and answer of every row, the instruction and input joined as the release's template does."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(rows, list)
    for row in rows:
        assert all(isinstance(row[key], str) for key in ("instruction", "input", "output"))
        assert row["instruction"]
        assert row["output"]
    return [("\n".join(part for part in (row["instruction"], row["input"]) if part), row["output"]) for row in rows]
