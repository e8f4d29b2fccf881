"""Warehouses with a selection: one that a model can be recovered on, and one of the demo's rows with samples."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from demo_samples import DRAWING, ROWS

from curate import flows

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.fixture(scope="module")
def demo_selection(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a warehouse with a selection of the demo's rows, and its id."""
    folder = tmp_path_factory.mktemp("demo") / "w"
    options = flows.settings(warehouse=folder, select={"method": "uniform", "budget": str(ROWS)})
    return folder, flows.select(options).id


@pytest.fixture
def root(demo_selection: tuple[Path, str], tmp_path: Path) -> Path:
    """Return a copy of the demo's warehouse."""
    return Path(shutil.copytree(demo_selection[0], tmp_path / "w"))


@pytest.fixture
def demo_id(demo_selection: tuple[Path, str]) -> str:
    return demo_selection[1]


@pytest.fixture
def sampled(curate: Run, root: Path, demo_id: str) -> dict[str, Any]:
    """Return what ``curate sample`` reports of the demo's selection."""
    answer = curate("sample", demo_id[:6], *DRAWING, "-w", root, "--json")
    assert answer.code == 0, answer.err
    return dict(answer.value)
