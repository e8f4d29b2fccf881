"""The pipeline as a Prefect flow on a real server: the run is recorded there, and the warehouse is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus
from prefect_server import prefect_server

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

CLI = [sys.executable, "-c", "from curate.flows.cli.main import main; main()"]
RUNS = """
import asyncio, json
from prefect.client.orchestration import get_client

async def print_runs():
    async with get_client() as client:
        flows = {flow.id: flow.name for flow in await client.read_flows()}
        runs = await client.read_flow_runs()
        tasks = sorted(await client.read_task_runs(), key=lambda task: task.start_time)
        print(json.dumps({
            "runs": sorted([flows[run.flow_id], run.state_name] for run in runs),
            "tasks": [[task.name.partition("-")[0], task.state_name] for task in tasks],
            "attempts": [[task.name.partition("-")[0], task.run_count] for task in tasks],
        }))

asyncio.run(print_runs())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


def run(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*CLI, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def runs(environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RUNS], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    records: dict[str, Any] = json.loads(done.stdout)
    return records


def test_a_run_is_recorded_on_the_server_and_gives_the_result_of_the_command_line(
    server: dict[str, str], tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=60)
    models = ("--original", tiny[0], "--compressed", tiny[1], "--clusters", "3", "--threads", "1", "--json")
    with_server = run(server, "select", "-m", "paser", "--corpus", corpus, *models, "-w", tmp_path / "with")
    assert with_server.returncode == 0, with_server.stderr
    offline = {name: value for name, value in server.items() if not name.startswith("PREFECT_API")}
    without = run(offline, "select", "-m", "paser", "--corpus", corpus, *models, "-w", tmp_path / "without")
    assert without.returncode == 0, without.stderr
    assert "prefect" not in without.stderr.lower()
    one, other = json.loads(with_server.stdout), json.loads(without.stdout)
    assert one["selection_id"] == other["selection_id"]
    ledgers = [Warehouse(tmp_path / name).read("selection", one["selection_id"]) for name in ("with", "without")]
    assert ledgers[0].equals(ledgers[1])
    records = runs(server)
    assert records["runs"] == [["curation", "Completed"]]
    stages = ["ingest", "embed", "cluster", "score", "choose"]
    assert records["tasks"] == [[name, "Completed"] for name in stages]


def test_a_failed_run_is_recorded_as_failed_and_reports_one_sentence(server: dict[str, str], tmp_path: Path) -> None:
    done = run(server, "select", "--method", "uniform", "--corpus", tmp_path / "absent.jsonl", "-w", tmp_path / "w")
    assert done.returncode == 3
    assert done.stderr.strip().splitlines()[-1].startswith("curate: ")
    assert "absent.jsonl" in done.stderr.strip().splitlines()[-1]
    assert ["curation", "Failed"] in runs(server)["runs"]


FAILING_DISK = """
import errno, os
from curate.flows.deployments import retries
from curate.flows.cli.main import main
from curate.storage.warehouse import atomic

retries.DELAYS = (0.5, 0.5, 0.5)
real, left = atomic.rename, [{times}]

def rename(source, target):
    if target.name == "part-00000.parquet" and left[0]:
        left[0] -= 1
        raise OSError(errno.{kind}, os.strerror(errno.{kind}), str(target))
    real(source, target)

atomic.rename = rename
main()
"""
"""A disk that fails to write the first part of an artefact a few times."""


def run_with_failing_disk(
    server: dict[str, str], kind: str, times: int, *arguments: object
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", FAILING_DISK.format(kind=kind, times=times), *map(str, arguments)]
    return subprocess.run(command, env=server, capture_output=True, text=True, timeout=300)


def test_only_transient_errors_are_retried(server: dict[str, str], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    fixed = ("select", "--method", "uniform", "--corpus", corpus, "--json", "-w")
    before = len(runs(server)["attempts"])
    done = run_with_failing_disk(server, "EIO", 2, *fixed, tmp_path / "moment")
    assert done.returncode == 0, done.stderr
    records = runs(server)
    assert records["attempts"][before:] == [["ingest", 3], ["choose", 1]]
    assert json.loads(done.stdout)["n_kept"] == 4
    before = len(records["attempts"])
    done = run_with_failing_disk(server, "ENOSPC", 1, *fixed, tmp_path / "full")
    assert done.returncode == 1
    assert "free some space" in done.stderr.strip().splitlines()[-1]
    assert runs(server)["attempts"][before:] == [["ingest", 1]]
