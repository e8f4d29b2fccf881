"""A recovery that could not be started is started by a later night; one that is under way is not started twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from corpora import write_corpus
from prefect_server import prefect_server

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

NIGHT = """
import json, sys
from curate.flows.deployments.scheduled import nightly
state = nightly("drop", json.loads(sys.argv[1]), 0.0, "recovery/recovery", return_state=True)
print(json.dumps([state.type.value, state.name, state.message]))
"""
DEPLOY = """
from curate.flows.deployments.scheduled import recovery
recovery.to_deployment(name="recovery").apply()
"""


def night(folder: Path, environment: dict[str, str], code: str = NIGHT) -> str:
    """Run a night in a process of its own and return its state, name and message as JSON."""
    settings = '{"select": {"method": "uniform", "budget": "6"}, "warehouse": "warehouse"}'
    done = subprocess.run(
        [sys.executable, "-c", code, settings], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_lost_recovery_is_started_by_a_later_night(tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "drop").mkdir()
    corpus = write_corpus(tmp_path / "drop" / "rows.jsonl", rows=40)
    then = time.time() - 600
    os.utime(corpus, (then, then))
    with prefect_server(tmp_path / "prefect") as server:
        first = night(tmp_path, server)
        assert "FAILED" in first, "there is no deployment that could be started"
        (selection,) = Warehouse(tmp_path / "warehouse").list("selection")
        report = tmp_path / "warehouse" / "reports" / f"{selection.id}.html"
        assert report.exists()
        report.unlink()
        assert "FAILED" in night(tmp_path, server), "the gate is asked again, although nothing is new"
        assert report.exists(), "a missing report is written"
        night(tmp_path, server, DEPLOY)
        third = night(tmp_path, server)
        assert f"selection {selection.id} is current; recovery started, no model was trained yet" in third
        assert "COMPLETED" in third
        fourth = night(tmp_path, server)
        assert "NothingNew" in fourth
        assert "recovery not started, one of this selection is under way" in fourth
