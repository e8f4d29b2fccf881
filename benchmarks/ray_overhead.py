"""Wall time of scoring on a Ray cluster of two nodes with one core each, against two worker processes on those cores.

Claim: the cluster takes at most 1.15 times as long, and writes the same bytes.

    python benchmarks/ray_overhead.py [--rows 2000] [--part-rows 256] [--repeats 3] [--json]

The demo's model is scored against itself on rows of the demo, numbered to be distinct. The corpus is read beforehand;
a time is that of the whole command, start of workers included, and the median of the repeats, which alternate. The
cluster runs before the first of them, as it would elsewhere.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.flows import demo
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {"processes": ("--workers", "2", "--threads", "2"), "ray": ("--engine", "ray", "--cpus-per-worker", "1")}
FIRST_PORT = 23_000


def cluster_of_two() -> Any:
    """Start a head and a node of one CPU each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for number in range(2):
        # Given ports, a node need not wait for its agents, which a busy machine starts too slowly.
        first = FIRST_PORT + 10 * number
        ports = {
            "metrics_agent_port": first,
            "dashboard_agent_listen_port": first + 1,
            "runtime_env_agent_port": first + 2,
        }
        cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False, **ports)
    return cluster


def write_corpus(path: Path, rows: int) -> None:
    """Write rows of the demo over and over, with a number in front of each instruction."""
    lines = gzip.decompress(demo.pool_path().read_bytes()).splitlines()
    with path.open("w", encoding="utf-8") as file:
        for number, line in enumerate(islice(cycle(lines), rows)):
            row = json.loads(line)
            row["instruction"] = f"{number}: {row['instruction']}"
            file.write(json.dumps(row) + "\n")


def curate(verb: str, *arguments: object) -> float:
    """Run one command and return its seconds."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "curate.flows.cli", verb, *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return time.perf_counter() - began


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Score once for every repeat and kind; return seconds, their ratio and whether the bytes are equal."""
    write_corpus(folder / "corpus.jsonl", options.rows)
    reading = ("--corpus", folder / "corpus.jsonl", "--part-rows", options.part_rows)
    curate("ingest", *reading, "-w", folder / "read")
    models = ("--original", demo.model_path(), "--compressed", demo.model_path())
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    digests = {}
    for _ in range(options.repeats):
        for kind, how in KINDS.items():
            shutil.rmtree(folder / kind, ignore_errors=True)
            shutil.copytree(folder / "read", folder / kind)
            seconds[kind].append(curate("score", *reading, *models, "-w", folder / kind, *how))
            manifest = Warehouse(folder / kind).list("scores")[0]
            digests[kind] = (manifest.id, [part.digest for part in manifest.parts])
    medians = {kind: statistics.median(each) for kind, each in seconds.items()}
    return {
        "rows": options.rows,
        "parts": -(-options.rows // options.part_rows),
        "seconds": {kind: round(value, 1) for kind, value in medians.items()},
        "ratio": round(medians["ray"] / medians["processes"], 3),
        "bytes_equal": digests["ray"] == digests["processes"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the times of both kinds, the ratio, and whether the bytes are equal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--part-rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    # By default Ray gives workers niceness 15; compared are equals.
    os.environ["RAY_worker_niceness"] = "0"
    cluster = cluster_of_two()
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = measured(Path(folder), options)
    finally:
        cluster.shutdown()
    if options.json:
        print(json.dumps(result, indent=2))
        return
    times = ", ".join(f"{kind} {value} s" for kind, value in result["seconds"].items())
    equal = "equal" if result["bytes_equal"] else "DIFFERENT"
    print(f"{result['rows']:,} rows in {result['parts']} parts: {times}, ratio {result['ratio']}, bytes {equal}")


if __name__ == "__main__":
    main()
