"""Real test files, a real model: every kind is read as it comes, and the figures are those of the model's class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.realdata

FILES = ("gsm8k_test.parquet", "boolq_test.parquet", "mmlu_val.parquet", "wikitext2_valid.txt")


def test_real_files_are_asked_as_they_come(curate: Callable[..., Any], shared: Path, tmp_path: Path) -> None:
    tasks = [word for name in FILES for word in ("--tasks", shared / "corpora" / name)]
    model = shared / "models" / "stories260K"
    answer = curate("evaluate", model, *tasks, "--limit", "8", "--warehouse", tmp_path / "w", "--json")
    assert answer.code == 0, answer.err
    rows = answer.value["summary"]
    assert {row["kind"] for row in rows if row["task"] == "choice:mmlu_val"} == {"choice"}
    assert all(row["chance"] == 0.25 for row in rows if row["kind"] == "choice")
    assert sum(row["n_items"] for row in rows) == 8 * len(FILES)
    assert {row["task"] for row in rows} == {
        "rows:gsm8k_test", "rows:boolq_test", "choice:mmlu_val", "perplexity:wikitext2_valid",
    }  # fmt: skip
    # Worse than the 512 equally likely tokens would be a broken reading of the text; it was trained on stories.
    texts = next(row for row in rows if row["kind"] == "perplexity")
    assert 2 < texts["nll"] < math.log(512)
