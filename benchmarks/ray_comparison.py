"""Wall time of a comparison on a Ray cluster of two nodes with one core each, against one process on those cores.

Claim: the bytes are those of one process with one thread. Its times are compared with two threads and with one.

    python benchmarks/ray_comparison.py [--seeds 2] [--json]

The demo's pair: donod, length-matched, uniform and full at 10%, trained on the given answers and evaluated. The corpus
is read and scored beforehand; a time is that of the whole command, start of workers included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_overhead import cluster_of_two, curate

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {
    "ray": ("--engine", "ray", "--cpus-per-worker", "1"),
    "two_threads": ("--threads", "2"),
    "one_thread": ("--threads", "1"),
}


def measured(folder: Path, seeds: int) -> dict[str, Any]:
    """Compare once by each kind; return cells, seconds, and whether one thread gives the bytes of the cluster."""
    curate("select", "--method", "donod", "--budget", "10%", "-w", folder / "scored")
    grid = ("--methods", "donod", "--budgets", "10%", "--seeds", seeds, "--teacher", "none")
    seconds, digests = {}, {}
    for kind, how in KINDS.items():
        shutil.copytree(folder / "scored", folder / kind)
        seconds[kind] = round(curate("compare", *grid, "-w", folder / kind, *how), 1)
        made = Warehouse(folder / kind).list("evaluation")
        digests[kind] = {one.id: [part.digest for part in one.parts] for one in made}
    # The original and the compressed model have an evaluation each.
    cells = len(digests["ray"]) - 2
    return {"cells": cells, "seconds": seconds, "bytes_equal": digests["ray"] == digests["one_thread"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the times of all kinds, and whether the bytes are equal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    # By default Ray gives workers niceness 15; compared are equals.
    os.environ["RAY_worker_niceness"] = "0"
    cluster = cluster_of_two()
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = measured(Path(folder), options.seeds)
    finally:
        cluster.shutdown()
    if options.json:
        print(json.dumps(result, indent=2))
        return
    times = ", ".join(f"{kind} {value} s" for kind, value in result["seconds"].items())
    print(f"{result['cells']} cells: {times}, bytes {'equal' if result['bytes_equal'] else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
