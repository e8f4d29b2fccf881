"""Every benchmark script imports what it uses, and prints its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmark_scripts import run_script
from documents import ROOT
from fork_server import CONTEXT

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "def main(" in path.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help(script: Path, tmp_path: Path) -> None:
    # The fork server has imported torch and the rest, of which most scripts take seconds to import each.
    child = CONTEXT.Process(target=run_script, args=(script, ["--help"], tmp_path / "output"))
    child.start()
    child.join()
    output = (tmp_path / "output").read_text()
    assert child.exitcode == 0, output
    assert output.startswith("usage: ")
