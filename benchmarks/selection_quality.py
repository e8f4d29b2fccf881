"""Share of planted noise that each method keeps on the built-in demo.

    python benchmarks/selection_quality.py [--budget 0.1] [--seeds 3] [--warehouse DIR] [--json]

For every method: the share of kept examples with a planted wrong answer, the share in a planted contradiction, both
also relative to the corpus average, and the largest share of one capability. No selector reads the planted labels.
Random methods are averaged over seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from curate.flows import dispatch, progress
from curate.flows.cli.render.console import console, grid
from curate.flows.demo.faults import faults
from curate.schemas.settings import resolve

CASES: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "budget": "100%"},
    "uniform": {"method": "uniform"},
    "longest": {"method": "longest"},
    "high-nll": {"method": "high-nll"},
    "ifd": {"method": "ifd"},
    "k-center": {"method": "k-center"},
    "paser": {"method": "paser"},
    "length-matched": {"method": "length-matched"},
    "paser, strict": {"method": "paser", "options": {"consistency": "strict"}},
    "paser, soft": {"method": "paser", "options": {"consistency": "soft"}},
    "paser, no consistency": {"method": "paser", "options": {"consistency": "off"}},
    "paser, drawn at random": {"method": "paser", "options": {"rank": "random"}},
    "paser, ranked by donod": {"method": "paser", "options": {"rank": "donod"}},
    "paser, don filter": {"method": "paser", "options": {"filter": "don", "filter_share": 0.2}},
    "donod": {"method": "donod"},
    "donod, literal sign": {"method": "donod", "options": {"don_direction": "literal"}},
    "donod, ranks": {"method": "donod", "options": {"normalise": "rank"}},
    "donod, per cluster": {"method": "donod", "options": {"stratify": "clusters", "allocation": "degradation"}},
    "paser, tempered": {"method": "paser", "options": {"allocation": "tempered"}},
    "coverage": {"method": "coverage"},
    "rds": {"method": "rds"},
    "anchored": {"method": "anchored"},
    "anchored, excess": {"method": "anchored", "options": {"rank": "excess"}},
}


def measure(root: Path, case: dict[str, Any], budget: str, seed: int) -> dict[str, Any]:
    """Select once and return the shares among the kept examples."""
    select = {"budget": budget, **case}
    settings = resolve(
        {"warehouse": root, "seed": seed, "score": {"ifd": True}, "cluster": {"n_clusters": None}, "select": select}
    )
    with progress.on_stderr():
        warehouse, selection_id = dispatch.select(settings)
    manifest = warehouse.manifest("selection", selection_id)
    labels = faults(warehouse, manifest.inputs["corpus"])
    ledger = warehouse.read("selection", selection_id, columns=["example_id", "kept"]).to_pylist()
    kept = [labels[row["example_id"]] for row in ledger if row["kept"]]
    counts = np.unique([row["capability"] for row in kept], return_counts=True)[1] / len(kept)
    return {
        "kept": len(kept),
        "noise": float(np.mean([row["noise"] for row in kept])),
        "contradiction": float(np.mean([row["contradiction"] for row in kept])),
        "capabilities": len(counts),
        "largest_capability": float(counts.max()),
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--budget", default="0.1")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument("--json", action="store_true")
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = typed.warehouse or Path(folder)
        rows = []
        for name, case in CASES.items():
            # Clusters keep the seed of the run, so only the cheap part varies for methods that do not draw.
            runs = [measure(root, case, typed.budget, seed) for seed in range(typed.seeds)]
            rows.append({"method": name, **{key: float(np.mean([run[key] for run in runs])) for key in runs[0]}})
    corpus = rows[0]
    for row in rows:
        row["noise_ratio"] = row["noise"] / corpus["noise"]
        row["contradiction_ratio"] = row["contradiction"] / corpus["contradiction"]
    if typed.json:
        print(json.dumps(rows, indent=2))
        return
    heads = tuple(rows[0])
    console(200).print(grid(heads, ([row[head] for head in heads] for row in rows)))


if __name__ == "__main__":
    main()
