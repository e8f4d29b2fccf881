"""Runs docs/deploy.md word for word: a real server, a real worker and real scheduled runs on the loopback interface.

Its database is PostgreSQL, as on the page, or SQLite where no PostgreSQL is installed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from corpora import write_corpus
from documents import ROOT, blocks
from models import save_llama
from postgres import Postgres, postgres
from postgres import programs as postgres_programs
from prefect_server import wait_for_server

from curate.storage.warehouse.runs import read_runs
from curate.storage.warehouse.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "deploy.md"
PASSWORD = "correct-horse"
RUNS = """
import asyncio, json
from prefect.client.orchestration import get_client

async def print_state():
    async with get_client() as client:
        flows = {flow.id: flow.name for flow in await client.read_flows()}
        runs = await client.read_flow_runs()
        artifacts = await client.read_artifacts()
        print(json.dumps({
            "runs": [[flows[run.flow_id], run.state_type.value, run.state_name, run.state.message or "",
                      run.auto_scheduled, run.total_run_time.total_seconds()] for run in runs],
            "artifacts": [[one.key, one.type] for one in artifacts],
            "automations": [one.name for one in await client.read_automations()],
        }))

asyncio.run(print_state())
"""
SETTINGS = """\
warehouse = "warehouse"
original = "models/original"
compressed = "models/compressed"
threads = 1

[ingest]
part_rows = 100

[cluster]
n_clusters = 3

[select]
method = "paser"
budget = "0.1"
"""


class Machine:
    """A folder, an environment, and the background processes started in it."""

    def __init__(self, folder: Path, database: Postgres | None) -> None:
        self.folder = folder
        self.database = database
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }

    def type(self, text: str) -> str:
        """Run shell commands; `export` lasts for the later ones."""
        done = subprocess.run(
            ["bash", "-euc", text], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        for name, value in re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE):
            self.environment[name] = value
        return done.stdout

    def start_in_background(self, text: str) -> None:
        log = (self.folder / f"{len(self.started)}.log").open("w")
        self.started.append(
            subprocess.Popen(
                ["bash", "-euc", f"exec {text}"], cwd=self.folder, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )
        )  # fmt: skip

    def stop(self) -> None:
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()

    def adapt_environment(self) -> None:
        """Write ports and password to ``curate.env``; without PostgreSQL, leave the line of the database out."""
        path = self.folder / "curate.env"
        text = path.read_text().replace("4200", str(self.port)).replace("CHANGE-ME", PASSWORD)
        lines = text.replace("5432", str(self.database.port) if self.database else "").splitlines()
        kept = [line for line in lines if self.database or "CONNECTION_URL" not in line]
        path.write_text("\n".join(kept) + "\n")

    def server_state(self) -> Any:
        return json.loads(self.type(f"{sys.executable} -c '{RUNS}'"))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the response of the server's API, without the seconds that a command line takes to start."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def scheduled(self, state: str) -> list[list[Any]]:
        """Return the scheduled runs of the nightly flow in a state."""
        return [run for run in self.server_state()["runs"] if run[0] == "nightly" and run[4] and run[2] == state]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    save_llama(folder / "models" / "original")
    save_llama(folder / "models" / "compressed", seed=1)
    write_corpus(folder / "data.jsonl", rows=60)
    programs = postgres_programs()
    with postgres(programs) if programs else nullcontext() as database:
        machine = Machine(folder, database)
        yield machine
        machine.stop()


def until(condition: Callable[[], Any], seconds: float, pause: float = 1.0) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(pause)
    raise TimeoutError(f"nothing within {seconds:g} s")


def unfinished(warehouse: Warehouse, parts: str) -> list[Path]:
    """Return the parts matching a pattern that belong to unfinished artefacts."""
    return [one for one in warehouse.root.glob(parts) if not (one.parent / "manifest.json").exists()]


def make_settled(path: Path) -> None:
    """Set a file's time of modification ten minutes back."""
    then = time.time() - 600
    os.utime(path, (then, then))


def test_the_page_leads_from_nothing_to_scheduled_runs(machine: Machine) -> None:
    for block in blocks(PAGE):
        text = block.text.replace("4200", str(machine.port))
        if block.file:
            (machine.folder / block.file).write_text(text)
        elif block.language == "text" and "CREATE DATABASE" in text and machine.database:
            machine.database.query(text.replace("CHANGE-ME", PASSWORD))
        elif block.language == "toml":
            (machine.folder / "curate.toml").write_text(SETTINGS)
        elif "background" in block.words:
            machine.start_in_background(text)
            if "server start" in text:
                log = machine.folder / "0.log"
                wait_for_server(machine.started[0], f"http://127.0.0.1:{machine.port}/api/health", log)
        elif block.language == "sh":
            machine.type(text)
            if "deploy init" in text:
                machine.adapt_environment()
            if "cp data.jsonl" in text:
                make_settled(machine.folder / "drop" / "data.jsonl")
                until(lambda: machine.scheduled("Completed"), 150)
    if machine.database:
        assert int(machine.database.query("\\c prefect\nSELECT count(*) FROM flow_run").split()[-1]) > 0
    state = machine.server_state()
    assert {tuple(one) for one in state["artifacts"]} == {("curate-report", "markdown"), ("curate-clusters", "table")}
    assert state["automations"] == ["curate failed"]
    warehouse = Warehouse(machine.folder / "warehouse")
    (selection,) = warehouse.list("selection")
    assert selection.facts["n_kept"] == 6
    assert (warehouse.root / "reports" / f"{selection.id}.html").exists()
    assert ["recovery", "SCHEDULED"] in [run[:2] for run in state["runs"]], "the first selection is worth training on"


def test_a_second_run_finds_nothing_new(machine: Machine) -> None:
    warehouse = Warehouse(machine.folder / "warehouse")
    before = attempts.parts(warehouse.root)
    finished = until(lambda: machine.scheduled("NothingNew"), 120)
    assert "nothing new: selection" in finished[0][3]
    assert finished[0][5] < 15, "seconds of a run that has nothing to do"
    assert attempts.parts(warehouse.root) == before
    assert len(read_runs(warehouse.root)[0]) == 1, "no run was started in the warehouse"


def test_a_cancelled_run_leaves_a_clean_warehouse(machine: Machine) -> None:
    """Cancelled from the server while it embeds; no incomplete artefact is visible, and the next run resumes."""
    warehouse = Warehouse(machine.folder / "warehouse")
    known = {one.id for one in warehouse.list("selection")}
    some = write_corpus(machine.folder / "drop" / ".some.jsonl.part", rows=4000, seed=3)
    make_settled(some)
    some.rename(machine.folder / "drop" / "some.jsonl")
    until(lambda: unfinished(warehouse, "embeddings/*/part-00001.parquet"), 150, pause=0.05)
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "flows": {"name": {"any_": ["nightly"]}}}
    (active,) = machine.post("flow_runs/filter", running)
    machine.post(f"flow_runs/{active['id']}/set_state", {"state": {"type": "CANCELLING"}})
    until(lambda: [run for run in machine.server_state()["runs"] if run[1] == "CANCELLED"], 90)
    assert [one.status for one in read_runs(warehouse.root)[0]].count("running") <= 1  # the next may have started
    finished = attempts.parts(warehouse.root)
    for noun in ("corpus", "embeddings", "clusters", "scores", "selection"):
        for manifest in warehouse.list(noun):
            assert verify(warehouse, noun, manifest.id) == []
    until(lambda: {one.id for one in warehouse.list("selection")} - known, 150)
    after = attempts.parts(warehouse.root)
    assert all(after[name] == part for name, part in finished.items()), "a finished part was computed again"
    assert "no problem found" in machine.type("curate doctor")


def test_a_killed_run_is_resumed_by_the_next_one(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(machine.folder / "warehouse")
    more = write_corpus(machine.folder / "drop" / ".more.jsonl.part", rows=1500, seed=7)
    make_settled(more)
    more.rename(machine.folder / "drop" / "more.jsonl")

    def scoring() -> int:
        """Return the process id of a run that has finished some parts of the scores of the larger corpus."""
        active = [one for one in read_runs(warehouse.root)[0] if one.status == "running"]
        parts = unfinished(warehouse, "scores/*/part-00002.parquet")
        return active[0].pid if active and parts else 0

    os.kill(until(scoring, 150, pause=0.05), signal.SIGKILL)
    finished = attempts.parts(warehouse.root)
    assert any(name.startswith("scores/") for name in finished)
    until(lambda: len(warehouse.list("selection")) == 3, 150)
    after = attempts.parts(warehouse.root)
    assert all(after[name] == part for name, part in finished.items()), "a finished part was computed again"
    for noun in ("corpus", "embeddings", "clusters", "scores", "selection"):
        for manifest in warehouse.list(noun):
            assert verify(warehouse, noun, manifest.id) == []
    statuses = [one.status for one in read_runs(warehouse.root)[0]]
    assert statuses.count("interrupted") == 2, "the cancelled one and this one"
    monkeypatch.chdir(machine.folder)
    # Each corpus extends the smaller one before it, as in the nightly runs above.
    for names in (("data",), ("data", "some"), ("data", "more", "some")):
        corpora = [word for name in names for word in ("--corpus", str(machine.folder / "drop" / f"{name}.jsonl"))]
        assert attempts.run(["select", "--warehouse", "other", *corpora]) == 0
    expected = attempts.parts(machine.folder / "other")
    assert {name: part[1] for name, part in after.items()} == {name: part[1] for name, part in expected.items()}
    until(lambda: [run for run in machine.server_state()["runs"] if run[1] == "CRASHED"], 60)
    records = sorted(read_runs(warehouse.root)[0], key=lambda one: one.started)
    for one, following in zip(records, records[1:], strict=False):
        assert one.finished is None or one.finished <= following.started, "two runs overlapped"
