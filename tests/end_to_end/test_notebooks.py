"""The notebooks are committed without outputs, and run from top to bottom on a new warehouse."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from documents import ROOT

from curate.flows import demo
from curate.storage.catalog.queries import open_catalog, resolve_selection

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
    for options in (["--method", "uniform"], ["--method", "donod"], ["--method", "paser", "--budget", "0.2"]):
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


def executed(path: Path) -> Any:
    """Return a notebook with the outputs of its cells."""
    nbclient = pytest.importorskip("nbclient", reason='nbclient is not installed; pip install "curate-llm[notebook]"')
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    return book


@pytest.mark.slow
@pytest.mark.usefixtures("settings")
@every_notebook
def test_it_runs_from_top_to_bottom(path: Path) -> None:
    book = executed(path)
    assert n_outputs(book, "image/png") >= 1, "a notebook draws something"
    assert n_outputs(book, "text/html") >= 1, "a notebook shows a table"
    if path.name.startswith("01"):
        text = str([cell.outputs for cell in book.cells if cell.cell_type == "code"])
        assert text.count("(Spearman ") == 2, "the figures say what they show"
    if path.name.startswith("04"):
        assert "sorting" in str(book.cells[-1].outputs), "the demo's capabilities are known"


@pytest.mark.slow
@pytest.mark.usefixtures("settings")
def test_one_selection_is_compared_with_its_corpus(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(warehouse, alone)
    with open_catalog(warehouse) as con:
        latest = resolve_selection(con, "latest")
    for folder in (alone / "selection").iterdir():
        if folder.is_dir() and folder.name != latest:
            shutil.rmtree(folder)
    assert attempts.run(["catalog", "rebuild", "-w", str(alone)]) == 0
    monkeypatch.setenv("CURATE_WAREHOUSE", str(alone))
    book = executed(NOTEBOOKS[2])
    assert "The corpus has one selection so far" in str([cell.get("outputs") for cell in book.cells])
    assert n_outputs(book, "image/png") == 1, "its clusters beside those of the corpus"
    assert "corpus" in str(book.cells[-1].outputs)
