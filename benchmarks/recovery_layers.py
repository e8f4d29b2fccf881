"""Compares training few decoder layers with training all, on the built-in demo; about eight minutes on one core.

    python benchmarks/recovery_layers.py [--seeds 3] [--budget 0.1]

Question: does the adapter of the layers furthest from the original come within 3 % of the held-out perplexity of all
layers' adapter? For comparison, each layer alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from recovery import choose, measure

ARMS = ("all", "auto:1", "0", "1", "2", "3", "auto:2")


def run(root: Path, seeds: int, budget: str) -> dict[str, list[dict[str, Any]]]:
    """Return one row per seed for each arm; the selection is the same for all."""
    settings, selection = choose(root, budget, "paser")
    results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        for arm in ARMS:
            case = {"method": "mask_lora", "layers": arm}
            seeded = settings.model_copy(update={"seed": seed})
            results[arm].append(measure(root, seeded, selection, case, root / "out"))
            print(seed, arm, results[arm][-1], flush=True)
    return results


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the Markdown table of the means over the seeds."""
    lines = ["| layers | trained | perplexity after, by seed | above all layers | CPU s |", "|---|---:|---|---:|---:|"]
    whole = [row["perplexity_merged"] for row in results["all"]]
    for arm, rows in results.items():
        after = [row["perplexity_merged"] for row in rows]
        above = mean(one / other - 1 for one, other in zip(after, whole, strict=True))
        seconds = mean(row["seconds"] for row in rows)
        values = ", ".join(f"{value:.4f}" for value in after)
        lines.append(f"| {arm} | {rows[0]['trainable_share']:.2%} | {values} | {above:+.1%} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", default="0.1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(table(run(Path(folder), options.seeds, options.budget)))


if __name__ == "__main__":
    main()
