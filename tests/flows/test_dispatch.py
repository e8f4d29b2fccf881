"""Where a command runs: here, or as a Prefect flow run."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import corpora

if TYPE_CHECKING:
    from pathlib import Path


def test_no_server_at_the_address(tmp_path: Path) -> None:
    # A process of its own: Prefect reads its settings once, when it is imported.
    corpus = corpora.write_corpus(tmp_path / "rows.jsonl", rows=10)
    command = [sys.executable, "-m", "curate.flows.cli", "select", "--method", "uniform", "--corpus", str(corpus)]
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    answer = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 1
    assert answer.stderr.strip().splitlines()[-1] == (
        "curate: no Prefect server answers at PREFECT_API_URL=http://127.0.0.1:9/api; start it with "
        "`prefect server start`, or unset PREFECT_API_URL to run here"
    )
