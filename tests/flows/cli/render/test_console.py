"""On a terminal, an answer that is taller than the screen goes through the pager; a short one and a pipe do not."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import warehouses

from curate.storage.catalog.publish import publish
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CLI = [sys.executable, "-c", "from curate.flows.cli.main import main; main()"]


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Run a command whose output is a terminal of 24 lines, and return what came out."""
    ours, theirs = pty.openpty()
    size = {"LINES": "24", "COLUMNS": "80"}
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env={**environment, **size})
    os.close(theirs)
    told = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the terminal is closed with its last process
            break
        if not piece:
            break
        told += piece
    assert child.wait(60) == 0, told.decode()
    return told.decode()


def test_tall_answers_are_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path / "w")
    warehouses.fill(warehouse)
    publish(warehouse)
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\ncat\n")
    pager.chmod(0o755)
    environment = {**os.environ, "PAGER": str(pager), "TERM": "xterm"}
    ask = [*CLI, "sql", "-w", str(warehouse.root)]
    tall, short = "SELECT example_id FROM examples", "SELECT example_id FROM examples LIMIT 3"
    told = on_a_terminal([*ask, tall], environment)
    assert "PAGED" in told
    assert told.count("\n") > 60
    assert "PAGED" not in on_a_terminal([*ask, short], environment)
    piped = subprocess.run([*ask, tall], env=environment, capture_output=True, text=True, check=True)
    assert "PAGED" not in piped.stdout
