"""The picture of a comparison is drawn for any number of budgets and methods, with known and missing values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def line(method: str, budget: str, value: float | None, tokens: float = 100.0) -> dict[str, Any]:
    figure = None if value is None else {"value": value, "low": value - 0.05, "high": value + 0.05}
    return {"method": method, "budget": budget, "mean": figure, "worst": figure, "tokens_trained": tokens}


@pytest.mark.parametrize("budgets", [["0.1"], ["0.05", "0.1", "0.2"]])
def test_every_arm_is_in_the_picture(tmp_path: Path, budgets: list[str]) -> None:
    pytest.importorskip("matplotlib")
    from curate.storage.report import retention_picture

    lines = [line(method, budget, 0.6) for budget in budgets for method in ("paser", "uniform")]
    comparison: dict[str, Any] = {
        "lines": [*lines, line("full", budgets[0], None)],
        "compressed": {"value": 0.5, "low": 0.4, "high": 0.6},
    }
    retention_picture.draw(comparison, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    comparison["compressed"] = None
    retention_picture.draw(comparison, tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size != (tmp_path / "a.png").stat().st_size


def test_budgets_are_ordered_by_training_tokens() -> None:
    pytest.importorskip("matplotlib")
    from curate.storage.report.retention_picture import by_size

    lines = [line("paser", "10%", 0.6, 20.0), line("full, own epochs", "10%", 0.9, 900.0)]
    lines += [line("paser", "75", 0.5, 10.0), line("paser", "20%", 0.7, 40.0)]
    assert by_size(lines) == ["75", "10%", "20%"]
