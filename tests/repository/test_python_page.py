"""The programs of docs/python.md run, and `curate.flows` imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from corpora import write_corpus
from documents import ROOT, blocks
from models import save_llama

from curate.flows import Selection, select, settings

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

PAGE = ROOT / "docs" / "python.md"


def test_importing_the_calls_is_cheap() -> None:
    code = (
        "import sys\nfrom curate.flows import evaluate, recover, select, settings\n"
        "print(sorted({'torch', 'polars', 'duckdb', 'prefect', 'pyarrow', 'pydantic', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_a_selection_from_python_is_that_of_the_command(curate: Run, corpus: Path, tmp_path: Path) -> None:
    options = settings(
        corpus=[str(corpus)], warehouse=tmp_path / "warehouse", select={"method": "uniform", "budget": "0.25"}
    )
    selection = select(options)
    printed = curate(
        "select", "-c", corpus, "-w", tmp_path / "warehouse", "-m", "uniform", "-b", "0.25", "--json"
    ).value
    assert selection.summary() | {"picture": None} == printed | {"picture": None}
    ledger = selection.ledger()
    kept = ledger.filter(ledger["kept"])["example_id"].to_pylist()
    rows = list(selection.rows())
    assert [row["example_id"] for row in rows] == kept
    assert sorted(row["rank"] for row in rows) == list(range(1, 11))
    assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant"]
    assert isinstance(selection, Selection)


@pytest.mark.slow
def test_the_programs_of_the_page_run(tmp_path: Path) -> None:
    save_llama(tmp_path / "models" / "original")
    save_llama(tmp_path / "models" / "compressed", seed=1)
    write_corpus(tmp_path / "data.jsonl")
    programs = [block.text for block in blocks(PAGE) if block.language == "python"]
    assert len(programs) == 2
    printed = []
    for program in programs:
        (tmp_path / "program.py").write_text(program)
        done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert "'selected': 4" in printed[0]
    assert (tmp_path / "warehouse" / "models").is_dir()
    assert json.dumps("selected") in printed[1].replace("'", '"')
