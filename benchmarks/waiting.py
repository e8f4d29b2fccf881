"""Cost of threads that sleep while they wait, compared with threads that spin.

    python benchmarks/waiting.py --threads 2 --rounds 7 --json

Threads inside an operation wait for one another at its end. OpenMP reads the wait policy when it is loaded, so each
measurement runs in its own process: ``passive`` (asleep, the default of curate), ``active`` (spinning), and ``unset``,
which spins for a while. Policies alternate; medians are reported with the load of the machine. On an idle machine the
ratio is the cost of sleeping, on a busy one its saving. ``products`` are matrix products of 256 × 256, too small to
amortise waiting; ``forward`` is a Llama of hidden 512 and 4 layers on 8 × 64 tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

POLICIES = {"passive": "PASSIVE", "active": "ACTIVE", "unset": None}
WORKLOADS = ("products", "forward")
PRODUCTS, PASSES = 300, 2


def measured(work: str, threads: int) -> dict[str, float]:
    """Run the work once to warm up and once timed; return wall and processor seconds."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if work == "products":
        left, right = torch.randn(256, 256), torch.randn(256, 256)

        def step() -> None:
            for _ in range(PRODUCTS):
                torch.mm(left, right)
    else:
        from transformers import LlamaConfig, LlamaForCausalLM

        sizes = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 4, "num_attention_heads": 8}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=4000, **sizes)).eval()
        ids = torch.randint(4000, (8, 64))

        def step() -> None:
            for _ in range(PASSES):
                model(ids)

    with torch.inference_mode():
        step()
        wall, processor = time.perf_counter(), time.process_time()
        step()
        return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


def measure_in_child(work: str, policy: str | None, threads: int) -> dict[str, float]:
    """Return the seconds that a child process measures under a wait policy."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_NUM_THREADS": str(threads)} | ({"OMP_WAIT_POLICY": policy} if policy else {})
    command = [sys.executable, __file__, "--child", work, "--threads", str(threads)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds: dict[str, float] = json.loads(child.stdout)
    return seconds


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", choices=WORKLOADS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(options.child, options.threads)))
        return
    report: dict[str, Any] = {"threads": options.threads, "rounds": options.rounds, "load": [os.getloadavg()[0]]}
    for work in WORKLOADS:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in POLICIES}
        for _ in range(options.rounds):
            for name, policy in POLICIES.items():
                runs[name].append(measure_in_child(work, policy, options.threads))
            report["load"].append(os.getloadavg()[0])
        report[work] = {
            name: {clock: median(run[clock] for run in repetitions) for clock in ("wall", "processor")}
            for name, repetitions in runs.items()
        }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"load {min(report['load']):.1f} to {max(report['load']):.1f}, {options.threads} threads")
    for work in WORKLOADS:
        for name, medians in report[work].items():
            ratios = {clock: medians[clock] / report[work]["active"][clock] for clock in medians}
            clocks = "  ".join(f"{clock} {medians[clock]:.3f} s ({ratios[clock]:.2f} × active)" for clock in medians)
            print(f"{work:9s} {name:8s} {clocks}")


if __name__ == "__main__":
    main()
