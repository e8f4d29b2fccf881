"""A deployment of the nightly flow, started by a worker of a work pool, computes on a Ray cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from corpora import write_corpus
from models import save_llama
from prefect_server import prefect_server
from ray_cluster import running_cluster

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("ray", reason='needs the extra "ray"')
pytestmark = pytest.mark.slow

SETTINGS = """\
warehouse = "warehouse"
original = "models/original"
compressed = "models/compressed"

[cluster]
n_clusters = 3
"""


def shell(environment: dict[str, str], folder: Path) -> Callable[[str], str]:
    """Return a function that runs a command in `folder` and returns what it printed."""

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def test_the_nightly_flow_connects_to_the_cluster_of_its_worker(tmp_path: Path) -> None:
    save_llama(tmp_path / "models" / "original")
    save_llama(tmp_path / "models" / "compressed", seed=1)
    (tmp_path / "curate.toml").write_text(SETTINGS)
    (tmp_path / "prefect").mkdir()
    with running_cluster(tmp_path / "cache", 1, 1) as cluster, prefect_server(tmp_path / "prefect") as server:
        place = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PREFECT_WORKER_QUERY_SECONDS": "2"}
        on_ray = {"RAY_ADDRESS": cluster.address, "CURATE_ENGINE": "ray", "CURATE_CPUS_PER_WORKER": "1"}
        run = shell({**server, **place}, tmp_path)
        run("python -m curate.flows.cli deploy init")
        corpus = write_corpus(tmp_path / "drop" / "rows.jsonl", rows=60)
        settled = time.time() - 600
        os.utime(corpus, (settled, settled))
        for pool in ("curate-cpu", "curate-gpu"):
            run(f"python -m prefect work-pool create {pool} --type process")
        run("python -m prefect --no-prompt deploy --all")
        with (tmp_path / "worker.log").open("w") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", "curate-cpu"],
                cwd=tmp_path, stdout=log, stderr=log,
                env={**server, **place, **on_ray, "CURATE_SHIP_MODELS": "true"},
            )  # fmt: skip
            try:
                run("python -m prefect deployment run nightly/curation-nightly --watch")
            finally:
                worker.terminate()
                worker.wait(60)
    warehouse = Warehouse(tmp_path / "warehouse")
    (selection,) = warehouse.list("selection")
    assert selection.facts["n_kept"] == 6
    for (artefact,) in (warehouse.list("embeddings"), warehouse.list("scores")):
        assert artefact.facts["workers"], f"{artefact.noun} were computed in the process of the flow"
        assert all(one["parts"] for one in artefact.facts["workers"])
