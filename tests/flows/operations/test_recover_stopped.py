"""`curate recover` that is killed or terminated continues, with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.storage.warehouse.warehouse import Warehouse


def command(warehouse: Path, *more: str) -> list[str]:
    code = "import sys; from curate.flows.cli.main import main; main(sys.argv[1:])"
    how = ("--epochs", "100", "--batch", "8", "--rank", "2", "--learning-rate", "0.01", "-w", str(warehouse), "--json")
    return [sys.executable, "-c", code, "recover", *how, *more]


def last_step(warehouse: Path) -> int:
    files = list((warehouse / "jobs").glob("*/progress.jsonl"))
    lines = files[0].read_text().splitlines() if files else []
    # The lines before training count rows that the original has read.
    return int(json.loads(lines[-1]).get("step", 0)) if lines else 0


def interrupted(warehouse: Path, number: signal.Signals, *more: str) -> subprocess.Popen[str]:
    """Start the command, send it a signal after its first checkpoint, and return the process."""
    running = subprocess.Popen(command(warehouse, *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while last_step(warehouse) < 60:
        assert running.poll() is None
        time.sleep(0.02)
    os.kill(running.pid, number)
    return running


@pytest.mark.slow
def test_a_killed_command_resumes_bit_for_bit(selection: str, warehouse: Path) -> None:
    uninterrupted = warehouse.with_name("uninterrupted")
    subprocess.run(["cp", "-r", str(warehouse), str(uninterrupted)], check=True)
    assert interrupted(warehouse, signal.SIGKILL).wait() == -9
    folders = (warehouse, uninterrupted)
    reports = [
        json.loads(subprocess.run(command(folder), check=True, capture_output=True, text=True).stdout)
        for folder in folders
    ]
    models = [Path(report["model"]) / "model.safetensors" for report in reports]
    assert models[0].read_bytes() == models[1].read_bytes()
    losses = [
        Warehouse(folder).read("recovery", report["recovery_id"])["loss"]
        for folder, report in zip(folders, reports, strict=True)
    ]
    assert losses[0].equals(losses[1])


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_terminated_command_waits_for_the_checkpoint_of_its_job(
    selection: str, warehouse: Path, processes: str
) -> None:
    running = interrupted(warehouse, signal.SIGTERM, "--processes", processes)
    _, output = running.communicate()
    assert running.returncode == 130
    assert "run the same command again to continue where it stopped" in output
    (job,) = (warehouse / "jobs").iterdir()
    kept = sorted(path.name for path in (job / "work" / "checkpoints").iterdir())
    assert int(kept[-1].removeprefix("step-")) >= 60
