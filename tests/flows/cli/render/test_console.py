"""Output on a terminal and in a pipe: the pager for tall results, and numbers."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import warehouses

from curate.flows.cli.render.console import console, grid, print_json
from curate.storage.catalog.publish import publish
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CLI = [sys.executable, "-c", "from curate.flows.cli.main import main; main()"]


def run_on_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Run a command on a pseudo-terminal of 24 lines and return its output."""
    primary, secondary = pty.openpty()
    size = {"LINES": "24", "COLUMNS": "80"}
    child = subprocess.Popen(command, stdout=secondary, stderr=secondary, stdin=secondary, env={**environment, **size})
    os.close(secondary)
    output = b""
    while True:
        try:
            chunk = os.read(primary, 65536)
        except OSError:  # the terminal is closed with its last process
            break
        if not chunk:
            break
        output += chunk
    assert child.wait(60) == 0, output.decode()
    return output.decode()


def test_tall_results_are_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path / "w")
    warehouses.fill(warehouse)
    publish(warehouse)
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\ncat\n")
    pager.chmod(0o755)
    environment = {**os.environ, "PAGER": str(pager), "TERM": "xterm"}
    ask = [*CLI, "sql", "-w", str(warehouse.root)]
    tall, short = "SELECT example_id FROM examples", "SELECT example_id FROM examples LIMIT 3"
    output = run_on_terminal([*ask, tall], environment)
    assert "PAGED" in output
    assert output.count("\n") > 60
    assert "PAGED" not in run_on_terminal([*ask, short], environment)
    piped = subprocess.run([*ask, tall], env=environment, capture_output=True, text=True, check=True)
    assert "PAGED" not in piped.stdout


def test_decimals_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """DuckDB's sums of integers come as decimals."""
    print_json({"sum": Decimal(2**70), "rows": [{"mean": Decimal("0.125"), "none": None}]})
    assert json.loads(capsys.readouterr().out) == {"sum": 2**70, "rows": [{"mean": 0.125, "none": None}]}
    console().print(grid(["n"], [[Decimal(1234567)]]))
    assert "1,234,567" in capsys.readouterr().out
