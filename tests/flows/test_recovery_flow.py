"""Recovery as a Prefect flow on a real server: alone, after a curation, by a deployment, one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus
from prefect_server import prefect_server

from curate.storage.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

START = "import json, sys; from curate.flows.cli import main; main(sys.argv[1:])"
SERVE = """
from curate.flows.recovery_flow import recovery
recovery.serve(name="gpu")
"""
CURATE = """
import json, sys
from curate.flows.curation import curation
print(curation(json.loads(sys.argv[1]), recover_with=sys.argv[2]))
"""
HOLD = """
import sys, time
from prefect.concurrency.sync import concurrency
from curate.flows.recovery_flow import GPU_LIMIT, _make_limit
_make_limit()
with concurrency(GPU_LIMIT, strict=True):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


def settings(warehouse: Path, corpus: Path, model: Path, budget: str) -> str:
    recover = {"epochs": 1, "batch": 8, "rank": 2, "learning_rate": 0.01, "max_overlap": 0.9}
    values: dict[str, Any] = {"warehouse": str(warehouse), "corpus": [str(corpus)], "compressed": str(model)}
    return json.dumps({**values, "select": {"method": "donod", "budget": budget}, "recover": recover})


def python(environment: dict[str, str], code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def recoveries(warehouse: Path) -> list[str]:
    return [one.inputs["selection"] for one in Warehouse(warehouse).list("recovery")]


def test_a_curation_trains_on_what_it_chose_unless_it_is_the_same_again(
    server: dict[str, str], tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, warehouse = write_corpus(tmp_path / "corpus.jsonl", rows=40), tmp_path / "warehouse"
    log = (tmp_path / "serve.log").open("w")
    serving = subprocess.Popen([sys.executable, "-c", SERVE], env=server, stdout=log, stderr=log)
    try:
        for _ in range(600):
            if "recovery/gpu" in (tmp_path / "serve.log").read_text():
                break
            time.sleep(0.2)
        first = python(server, CURATE, settings(warehouse, corpus, tiny[1], "20"), "recovery/gpu")
        assert first.returncode == 0, first.stderr
        assert recoveries(warehouse) == [first.stdout.strip().splitlines()[-1]]
    finally:
        serving.terminate()
        serving.wait(60)
    alike = python(server, CURATE, settings(warehouse, corpus, tiny[1], "21"), "here")
    assert alike.returncode == 0, alike.stderr
    assert "no recovery: selection" in alike.stderr
    assert len(recoveries(warehouse)) == 1
    other = python(server, CURATE, settings(warehouse, corpus, tiny[1], "8"), "here")
    assert other.returncode == 0, other.stderr
    assert len(recoveries(warehouse)) == 2


def test_one_recovery_at_a_time_holds_the_limit(
    server: dict[str, str], tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, warehouse = write_corpus(tmp_path / "corpus.jsonl", rows=40), tmp_path / "warehouse"
    offline = {name: value for name, value in server.items() if not name.startswith("PREFECT_API")}
    select = ["select", "--method", "uniform", "--corpus", corpus, "-b", "10", "-w", warehouse]
    assert python(offline, START, *select).returncode == 0
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "held"
    command = ["recover", "--model", str(tiny[1]), "--epochs", "1", "--rank", "2", "-w", str(warehouse), "--json"]
    waiting = subprocess.Popen(
        [sys.executable, "-c", START, *command], env=server, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(30)
    assert waiting.poll() is None
    assert not (warehouse / "jobs").exists()
    holder.communicate("done\n")
    out, said = waiting.communicate(timeout=240)
    assert waiting.returncode == 0, said
    assert json.loads(out)["method"] == "lora"
