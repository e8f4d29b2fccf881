"""docs/deploy.md, word for word: a real server, a real worker and real scheduled runs on the loopback interface."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from corpora import write_corpus
from documents import ROOT, blocks
from models import save_llama
from prefect_server import wait_for_server

from curate.storage.warehouse.runs import read_runs
from curate.storage.warehouse.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "deploy.md"
RUNS = """
import asyncio, json
from prefect.client.orchestration import get_client

async def told():
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

asyncio.run(told())
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
budget = "0.1"
"""


class Machine:
    """A folder, an environment, and what was started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        """Run commands as a person types them; `export` lasts for the later ones."""
        done = subprocess.run(
            ["bash", "-euc", text], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        for name, value in re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE):
            self.environment[name] = value
        return done.stdout

    def leave_running(self, text: str) -> None:
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

    def told(self) -> Any:
        return json.loads(self.type(f"{sys.executable} -c '{RUNS}'"))

    def ask(self, path: str, what: dict[str, Any]) -> Any:
        """Return the server's answer, without the seconds that a command line takes to start."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}", json.dumps(what).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def scheduled(self, state: str) -> list[list[Any]]:
        """Return the scheduled runs of the nightly flow that have come to a state."""
        return [run for run in self.told()["runs"] if run[0] == "nightly" and run[4] and run[2] == state]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    save_llama(folder / "models" / "original")
    save_llama(folder / "models" / "compressed", seed=1)
    write_corpus(folder / "data.jsonl", rows=60)
    shutil.copy(ROOT / "prefect.yaml", folder)
    made = Machine(folder)
    yield made
    made.stop()


def until(what: Callable[[], Any], seconds: float, pause: float = 1.0) -> Any:
    """Return what `what` gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(pause)
    raise TimeoutError(f"nothing within {seconds:g} s")


def unfinished(warehouse: Warehouse, parts: str) -> list[Path]:
    """Return the parts of a pattern that belong to artefacts under way."""
    return [one for one in warehouse.root.glob(parts) if not (one.parent / "manifest.json").exists()]


def old_enough(path: Path) -> None:
    """Make a file look as if nobody had touched it for a while."""
    then = time.time() - 600
    os.utime(path, (then, then))


def test_the_page_leads_from_nothing_to_scheduled_runs(machine: Machine) -> None:
    for block in blocks(PAGE):
        text = block.text.replace("4200", str(machine.port))
        if block.file:
            (machine.folder / block.file).write_text(text)
        elif block.language == "toml":
            (machine.folder / "curate.toml").write_text(SETTINGS)
        elif "background" in block.words:
            machine.leave_running(text)
            if "server start" in text:
                log = machine.folder / "0.log"
                wait_for_server(machine.started[0], f"http://127.0.0.1:{machine.port}/api/health", log)
        elif block.language == "sh":
            machine.type(text)
            if "cp data.jsonl" in text:
                old_enough(machine.folder / "drop" / "data.jsonl")
                until(lambda: machine.scheduled("Completed"), 150)
    told = machine.told()
    assert {tuple(one) for one in told["artifacts"]} == {("curate-report", "markdown"), ("curate-clusters", "table")}
    assert told["automations"] == ["curate failed"]
    warehouse = Warehouse(machine.folder / "warehouse")
    (made,) = warehouse.list("selection")
    assert made.facts["n_kept"] == 6
    assert (warehouse.root / "reports" / f"{made.id}.html").exists()
    assert ["recovery", "SCHEDULED"] in [run[:2] for run in told["runs"]], "the first selection is worth training on"


def test_a_second_run_finds_nothing_new(machine: Machine) -> None:
    warehouse = Warehouse(machine.folder / "warehouse")
    before = attempts.parts(warehouse.root)
    found = until(lambda: machine.scheduled("NothingNew"), 120)
    assert "nothing new: selection" in found[0][3]
    assert found[0][5] < 15, "seconds of a run that has nothing to do"
    assert attempts.parts(warehouse.root) == before
    assert len(read_runs(warehouse.root)[0]) == 1, "no run was even begun in the warehouse"


def test_a_cancelled_run_leaves_a_clean_warehouse(machine: Machine) -> None:
    """Cancelled from the server while it embeds; nothing half made is visible, and the next run goes on."""
    warehouse = Warehouse(machine.folder / "warehouse")
    known = {one.id for one in warehouse.list("selection")}
    some = write_corpus(machine.folder / "drop" / ".some.jsonl.part", rows=4000, seed=3)
    old_enough(some)
    some.rename(machine.folder / "drop" / "some.jsonl")
    until(lambda: unfinished(warehouse, "embeddings/*/part-00001.parquet"), 150, pause=0.05)
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "flows": {"name": {"any_": ["nightly"]}}}
    (under_way,) = machine.ask("flow_runs/filter", running)
    machine.ask(f"flow_runs/{under_way['id']}/set_state", {"state": {"type": "CANCELLING"}})
    until(lambda: [run for run in machine.told()["runs"] if run[1] == "CANCELLED"], 90)
    assert [one.status for one in read_runs(warehouse.root)[0]].count("running") <= 1  # the next may have begun
    finished = attempts.parts(warehouse.root)
    for noun in ("corpus", "embeddings", "clusters", "scores", "selection"):
        for made in warehouse.list(noun):
            assert verify(warehouse, noun, made.id) == []
    until(lambda: {one.id for one in warehouse.list("selection")} - known, 150)
    after = attempts.parts(warehouse.root)
    assert all(after[name] == what for name, what in finished.items()), "a finished part was made again"
    assert "no problem found" in machine.type("curate doctor")


def test_a_killed_run_is_resumed_by_the_next_one(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(machine.folder / "warehouse")
    more = write_corpus(machine.folder / "drop" / ".more.jsonl.part", rows=1500, seed=7)
    old_enough(more)
    more.rename(machine.folder / "drop" / "more.jsonl")

    def scoring() -> int:
        """Return the process of a run that has finished some parts of the scores of the larger corpus."""
        under_way = [one for one in read_runs(warehouse.root)[0] if one.status == "running"]
        parts = unfinished(warehouse, "scores/*/part-00002.parquet")
        return under_way[0].pid if under_way and parts else 0

    os.kill(until(scoring, 150, pause=0.05), signal.SIGKILL)
    finished = attempts.parts(warehouse.root)
    assert any(name.startswith("scores/") for name in finished)
    until(lambda: len(warehouse.list("selection")) == 3, 150)
    after = attempts.parts(warehouse.root)
    assert all(after[name] == what for name, what in finished.items()), "a finished part was made again"
    for noun in ("corpus", "embeddings", "clusters", "scores", "selection"):
        for made in warehouse.list(noun):
            assert verify(warehouse, noun, made.id) == []
    statuses = [one.status for one in read_runs(warehouse.root)[0]]
    assert statuses.count("interrupted") == 2, "the cancelled one and this one"
    monkeypatch.chdir(machine.folder)
    # Each corpus grows out of the smaller one before it, as it did here night by night.
    for names in (("data",), ("data", "some"), ("data", "more", "some")):
        corpora = [word for name in names for word in ("--corpus", str(machine.folder / "drop" / f"{name}.jsonl"))]
        assert attempts.run(["select", "--warehouse", "other", *corpora]) == 0
    whole = attempts.parts(machine.folder / "other")
    assert {name: what[1] for name, what in after.items()} == {name: what[1] for name, what in whole.items()}
    until(lambda: [run for run in machine.told()["runs"] if run[1] == "CRASHED"], 60)
    records = sorted(read_runs(warehouse.root)[0], key=lambda one: one.started)
    for one, following in zip(records, records[1:], strict=False):
        assert one.finished is None or one.finished <= following.started, "two runs overlapped"
