"""The deployments of prefect.yaml fit the flows that they start, and `curate recover` runs as one of these flows."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from corpora import write_corpus
from prefect_server import prefect_server

from curate.flows.deployments import scheduled
from curate.flows.deployments.starting import TEMPLATES

if TYPE_CHECKING:
    from pathlib import Path

CLI = "import sys; from curate.flows.cli.main import main; main(sys.argv[1:])"
RUNS = """
import json
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
with get_client(sync_client=True) as client:
    if len(__import__("sys").argv) > 1:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="curate-gpu", limit=1))
    names = {flow.id: flow.name for flow in client.read_flows()}
    print(json.dumps([[names[run.flow_id], run.state_name] for run in client.read_flow_runs()]))
"""


def test_prefect_yaml_names_existing_flows_and_parameters() -> None:
    deployments = {one["name"]: one for one in yaml.safe_load((TEMPLATES / "prefect.yaml").read_text())["deployments"]}
    assert deployments.keys() == {"curation-nightly", "recovery", "gc-weekly"}
    for deployment in deployments.values():
        module, _, name = deployment["entrypoint"].rpartition(".")
        assert module == scheduled.__name__
        assert deployment["parameters"].keys() <= inspect.signature(getattr(scheduled, name).fn).parameters.keys()
        assert all("active" in schedule and "slug" in schedule for schedule in deployment["schedules"])
    assert deployments["curation-nightly"]["parameters"]["recovery"] == "recovery/recovery"


def python(environment: dict[str, str], code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_recovery_is_recorded_on_the_server_and_gives_the_result_of_the_command_line(
    tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, warehouse = write_corpus(tmp_path / "corpus.jsonl", rows=40), tmp_path / "warehouse"
    (tmp_path / "prefect").mkdir()
    with prefect_server(tmp_path / "prefect") as server:
        offline = {name: value for name, value in server.items() if not name.startswith("PREFECT_API")}
        select = ("select", "--method", "uniform", "--corpus", corpus, "-b", "12", "-w", warehouse)
        assert python(offline, CLI, *select).returncode == 0
        assert python(server, RUNS, "with a limit").stdout.strip() == "[]"
        how = ("recover", "--model", tiny[1], "--epochs", "1", "--rank", "2", "--json")
        answers = [python(server, CLI, *how, "-w", warehouse, "--out", tmp_path / "one")]
        python(offline, CLI, *select[:-1], tmp_path / "other")
        answers.append(python(offline, CLI, *how, "-w", tmp_path / "other"))
        assert [one.returncode for one in answers] == [0, 0], answers[0].stderr + answers[1].stderr
        assert json.loads(python(server, RUNS).stdout) == [["recovery", "Completed"]]
    reports = [json.loads(one.stdout) for one in answers]
    assert reports[0]["recovery_id"] == reports[1]["recovery_id"]
    other = tmp_path / "other" / "models" / f"recovered-{reports[0]['recovery_id']}" / "model.safetensors"
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == other.read_bytes()
