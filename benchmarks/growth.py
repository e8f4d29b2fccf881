"""Cost of adding rows to a corpus that is already embedded and clustered, compared with a refit.

Claim: 5,000 rows added to 47,000 are embedded and assigned in under 30 s. Also reports the agreement of the extended
labels with those of a refit, for new rows and for old ones.

    python benchmarks/growth.py --corpus alpaca52k.parquet --new 5000 --json

The full corpus is embedded once; without --corpus it is the demo's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.metrics import adjusted_rand_score

from curate.flows import stages
from curate.flows.demo import pool_path
from curate.schemas.settings import resolve
from curate.storage.formats import read_source
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable


def split(corpus: Path, new: int, folder: Path) -> tuple[Path, Path]:
    """Write the corpus without its last usable rows, and all of it, as two files of prompts and completions."""
    from curate.schemas.corpus import Example, prompt_text, response_text

    read = [row for row in read_source(str(corpus), None, None, None) if isinstance(row, Example)]
    rows = pl.DataFrame(
        {
            "prompt": [prompt_text(row.turns) for row in read],
            "completion": [response_text(row.turns) for row in read],
        }
    )
    small, grown = folder / "small.parquet", folder / "grown.parquet"
    rows[:-new].write_parquet(small)
    rows.write_parquet(grown)
    return small, grown


def timed(work: Callable[[], str]) -> tuple[str, dict[str, float]]:
    """Return the artefact id that `work` returned, and its wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    artefact_id = work()
    return artefact_id, {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def measure(corpus: Path, new: int, folder: Path) -> dict[str, Any]:
    """Return the times of the first run, of the extended corpus and of a refit, and the agreement of the last two."""
    warehouse = Warehouse(folder / "warehouse")
    small, grown = split(corpus, new, folder)
    times, labels = {}, {}
    for name, path, refit in (("first", small, False), ("grown", grown, False), ("refit", grown, True)):
        settings = resolve({"corpus": (str(path),), "cluster": {"refit": refit}})
        read, times[f"{name}: ingest"] = timed(lambda settings=settings: stages.ingest(warehouse, settings))
        vectors, times[f"{name}: embed"] = timed(lambda s=settings, c=read: stages.embed(warehouse, s, c))
        clusters, times[f"{name}: cluster"] = timed(
            lambda s=settings, c=read, v=vectors: stages.cluster(warehouse, s, c, v)
        )
        table = warehouse.read("clusters", clusters, columns=["example_id", "cluster"])
        labels[name] = dict(zip(table["example_id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    old = [example for example in labels["grown"] if example in labels["first"]]
    fresh = [example for example in labels["grown"] if example not in labels["first"]]

    def agreement(examples: list[str]) -> float:
        grown, refit = (np.array([labels[name][example] for example in examples]) for name in ("grown", "refit"))
        return round(float(adjusted_rand_score(grown, refit)), 3)

    return {
        "old_rows": len(old),
        "new_rows": len(fresh),
        "times": times,
        "old_labels_moved": sum(labels["grown"][example] != labels["first"][example] for example in old),
        "times_faster_than_refit": round(times["refit: cluster"]["seconds"] / times["grown: cluster"]["seconds"], 1),
        "agreement_with_refit": {"new_rows": agreement(fresh), "old_rows": agreement(old)},
    }


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=pool_path(), help="any corpus that ingest reads")
    parser.add_argument("--new", type=int, default=500, help="rows to add, the last of the corpus (default 500)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(options.corpus, options.new, Path(folder))
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{report['new_rows']} rows added to {report['old_rows']}; {report['old_labels_moved']} old labels moved")
    for step, cost in report["times"].items():
        print(f"{step:18} {cost['seconds']:8.2f} s  ({cost['cpu_seconds']:.2f} s of processor time)")
    agreed = report["agreement_with_refit"]
    print(f"agreement with a refit: {agreed['new_rows']} of new rows, {agreed['old_rows']} of old ones")


if __name__ == "__main__":
    main()
