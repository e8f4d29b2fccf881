"""A warehouse with a selection that a model can be recovered on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse"


@pytest.fixture
def pair(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return a model and the same model, half pruned."""
    assert curate("compress", tiny[0], "-m", "magnitude", "-s", "0.5", "-o", tmp_path / "half").code == 0
    return tiny[0], tmp_path / "half"


@pytest.fixture
def selection(curate: Run, corpus: Path, pair: tuple[Path, Path], warehouse: Path) -> str:
    """Return the id of a selection with scores of the pair."""
    models = ("--original", pair[0], "--compressed", pair[1])
    answer = curate("select", "--method", "donod", "-b", "0.5", "--corpus", corpus, *models, "-w", warehouse, "--json")
    assert answer.code == 0, answer.err
    return str(answer.value["selection_id"])
