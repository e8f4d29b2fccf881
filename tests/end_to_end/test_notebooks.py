"""The notebooks are committed without outputs, and run from top to bottom on a new warehouse."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from documents import ROOT

from curate.flows import demo

if TYPE_CHECKING:
    from pathlib import Path

nbformat = pytest.importorskip("nbformat", reason='nbformat is not installed; pip install "curate-llm[notebook]"')

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ROWS = 300

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@every_notebook
def test_outputs_are_stripped(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert path.read_text("utf-8") == nbformat.writes(book) + "\n", "not in the form that nbformat writes"
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert book.cells[0].cell_type == "markdown"
    for cell in book.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), "clear the outputs before committing"
            compile(cell.source, path.name, "exec")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a warehouse with three selections of a slice of the demo, the last one by paser."""
    folder = tmp_path_factory.mktemp("notebooks")
    with gzip.open(demo.pool_path(), "rt") as pool, gzip.open(folder / "pool.jsonl.gz", "wt") as part:
        part.write("".join(line for line, _ in zip(pool, range(ROWS), strict=False)))
    pruned = str(folder / "pruned")
    assert (
        attempts.run(["compress", str(demo.model_path()), "-m", "magnitude", "--sparsity", "0.6", "--out", pruned]) == 0
    )
    common = ["--corpus", str(folder / "pool.jsonl.gz"), "--original", str(demo.model_path()), "--compressed", pruned]
    for options in (["--method", "uniform"], ["--method", "donod"], ["--budget", "0.2"]):
        assert attempts.run(["select", *common, *options, "--clusters", "6", "-w", str(folder / "warehouse")]) == 0
    return folder / "warehouse"


@pytest.fixture
def settings(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_WAREHOUSE", str(warehouse))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, [ROOT / ".links", os.environ.get("PYTHONPATH", "")])))


def n_outputs(book: Any, kind: str) -> int:
    """Return the number of outputs of one kind in the code cells."""
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    return sum(kind in output.get("data", {}) for output in outputs)


@pytest.mark.slow
@pytest.mark.usefixtures("settings")
@every_notebook
def test_it_runs_from_top_to_bottom(path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason='nbclient is not installed; pip install "curate-llm[notebook]"')
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert n_outputs(book, "image/png") >= 1, "a notebook draws something"
    assert n_outputs(book, "text/html") >= 1, "a notebook shows a table"
    if path.name.startswith("04"):
        assert "sorting" in str(book.cells[-1].outputs), "the demo's capabilities are known"
