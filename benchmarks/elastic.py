"""One adapter for several widths against one for each: the demo's original, sorted, three seeds, 200 steps.

    python benchmarks/elastic.py [--seeds 3] [--steps 200] [--work DIR] [--json]

Claims (docs/compression.md): trained elastically, the model has a lower perplexity at every smaller width than one that
was trained at the whole width; at the whole width at most 5 % more; at each width at most 25 % more than a truncated
model that was trained there. Cross-entropy, LoRA, rows of the demo's pool; held-out rows are measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curate.engines.compress import CompressionRequest, compress
from curate.engines.recover import recover
from curate.flows import demo
from curate.schemas.corpus import Example, Turn
from curate.schemas.recovery import RecoveryRequest
from curate.storage.formats import read_source

SHARES = (1.0, 0.85, 0.7, 0.6)
BATCH = 16
HELDOUT = 300
TRAINING: dict[str, Any] = {"method": "lora", "batch": BATCH, "learning_rate": 1e-3, "device": "cpu"}


def conversations(path: Path, count: int) -> list[tuple[Turn, ...]]:
    """Return the first rows of a file."""
    return [row.turns for row in islice((one for one in read_source(path) if isinstance(one, Example)), count)]


def measured(seed: int, rows: list[Any], heldout: list[Any], work: Path) -> dict[str, dict[float, float]]:
    """Return the perplexity by width before training, and of the three ways of training."""
    sorted_model = work / "sorted"

    def trained(model: Path, name: str, elastic: tuple[float, ...] = ()) -> tuple[dict[str, Any], Path]:
        out = work / f"{name}-{seed}"
        request = RecoveryRequest(**TRAINING, epochs=1, seed=seed, elastic=elastic)
        return recover(model, rows, out, request, heldout=heldout), out

    report, out = trained(sorted_model, "elastic", SHARES)
    ways = {"untrained": {one["share"]: one["perplexity_before"] for one in report["elastic"]}}
    ways["elastic"] = {one["share"]: one["perplexity_after"] for one in report["elastic"]}
    report, out = trained(sorted_model, "whole")
    ways["whole"] = {1.0: report["perplexity_after"]} | {
        share: at(out, share, rows, heldout, work) for share in SHARES[1:]
    }
    ways["specialist"] = {1.0: report["perplexity_after"]}
    for share in SHARES[1:]:
        ways["specialist"][share] = trained(narrow(sorted_model, share, work), f"at-{share}")[0]["perplexity_after"]
    return ways


def narrow(model: Path, share: float, work: Path) -> Path:
    """Return the folder of the model with a share of its channels."""
    folder = work / f"{model.name}-{share}"
    if not folder.exists():
        compress(model, folder, CompressionRequest("truncate", sparsity=1 - share))
    return folder


def at(model: Path, share: float, rows: list[Any], heldout: list[Any], work: Path) -> float:
    """Return the perplexity of a trained model at a width."""
    probe = work / "probe"
    shutil.rmtree(probe, ignore_errors=True)
    request = RecoveryRequest(**{**TRAINING, "learning_rate": 1e-9}, epochs=BATCH / len(rows))
    value: float = recover(narrow(model, share, work), rows, probe, request, heldout=heldout)["perplexity_before"]
    return value


def main() -> None:
    """Print the means over the seeds, and the three ratios of the claims at their worst seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--work", type=Path, help="folder of the models; a temporary one by default")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        rows, heldout = (
            conversations(demo.pool_path(), arguments.steps * BATCH),
            conversations(demo.heldout_path(), HELDOUT),
        )
        if not (work / "sorted").exists():
            compress(
                demo.model_path(), work / "sorted", CompressionRequest("sort", dtype="float32"), calibration=rows[:256]
            )
        runs = [measured(seed, rows, heldout, work) for seed in range(arguments.seeds)]
    print(json.dumps(runs, indent=2) if arguments.json else table(runs))


def table(runs: list[dict[str, dict[float, float]]]) -> str:
    """Return the table of docs/compression.md, and the claims."""
    lines = [f"| trained at | {' | '.join(f'{share:g}' for share in SHARES)} |", "|---|" + "---:|" * len(SHARES)]
    for way in ("untrained", "whole", "specialist", "elastic"):
        means = [np.mean([run[way][share] for run in runs]) for share in SHARES]
        lines.append(f"| {way} | {' | '.join(f'{mean:.3f}' for mean in means)} |")

    def worst(other: str, shares: tuple[float, ...]) -> float:
        return max(run["elastic"][share] / run[other][share] for run in runs for share in shares)

    return "\n".join([
        *lines, "",
        f"elastic over whole, smaller widths: at most {worst('whole', SHARES[1:]):.3f} (claim: below 1)",
        f"elastic over whole, whole width: at most {worst('whole', SHARES[:1]):.3f} (claim: 1.05)",
        f"elastic over specialist: at most {worst('specialist', SHARES):.3f} (claim: 1.25)",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
