"""Ctrl-C at any moment: exit code 130, one sentence, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import warehouses

from curate.flows.cli.interrupts import SENTENCE
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = "SELECT count(*) FROM range(100000000) AS a, range(100000000) AS b WHERE (a.range * b.range) % 7 = 3"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warehouses.published(tmp_path_factory.mktemp("filled") / "w")


def interrupt(words: list[str], seconds: float) -> tuple[int, float, str]:
    """Run ``curate`` in a process group of its own, press Ctrl-C once the handler is there and `seconds` have passed.

    Returns
    -------
    tuple
        Exit code, seconds from Ctrl-C to the end, and stderr without progress lines.
    """
    code = (
        "import sys; from curate.flows.cli import interrupts, main as module\n"
        "from curate.flows.cli.main import main\n"
        "interrupts.handle(interrupts.end_at_once); print('ready', flush=True); main()"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen([sys.executable, "-c", code, *words], **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    pressed = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, time.monotonic() - pressed, err


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 0.6])
def test_while_libraries_are_imported(root: Path, seconds: float) -> None:
    code, _, err = interrupt(["sql", ENDLESS, "-w", str(root)], seconds)
    assert (code, err) == (130, f"curate: {SENTENCE}\n")


@pytest.mark.parametrize(("error", "printed"), [("pass", False), ("raise ValueError(7)", True)])
def test_in_a_finalizer_no_traceback_is_printed(error: str, printed: bool) -> None:
    code = (
        "import signal; from curate.flows.cli import interrupts\n"
        "class Held:\n"
        "    def __init__(self, pressed): self.pressed = pressed\n"
        f"    def __del__(self):\n        if self.pressed: signal.raise_signal(signal.SIGINT)\n        {error}\n"
        "interrupts.handle(interrupts.raise_once)\n"
        "first = Held(True); del first\n"
        "other = Held(False); del other"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "KeyboardInterrupt" not in done.stderr
    assert ("ValueError: 7" in done.stderr) == printed


def test_a_long_query_ends_at_once(root: Path) -> None:
    code, took, err = interrupt(["sql", ENDLESS, "-w", str(root)], 6.0)
    assert (code, err) == (130, f"curate: {SENTENCE}\n")
    assert took < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.5, 4.0, 6.0, 9.0])
def test_while_a_selection_runs(tmp_path: Path, seconds: float) -> None:
    code, took, err = interrupt(["select", "--method", "paser", "--threads", "1", "-w", str(tmp_path / "w")], seconds)
    assert code == 130
    assert took < 15.0
    assert err.splitlines()[-1] == f"curate: {SENTENCE}"
    assert "Traceback" not in err
    assert Warehouse(tmp_path / "w").scan("corpus").problems == []
