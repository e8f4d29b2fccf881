"""Ground truth of the faults planted in the demo's pool: for reports and benchmarks, never for a selector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from curate.flows import demo
from curate.storage.formats import source_digest, source_name

if TYPE_CHECKING:
    from curate.storage.warehouse.warehouse import Warehouse


def is_demo_corpus(warehouse: Warehouse, corpus: str) -> bool:
    """Return True if a corpus was ingested from the demo's pool and nothing else."""
    pool = demo.pool_path()
    inputs = warehouse.manifest("corpus", corpus).inputs
    return inputs == {f"0:{source_name(pool)}": source_digest(pool, warehouse.digests.file)}


def faults(warehouse: Warehouse, corpus: str) -> dict[str, dict[str, Any]]:
    """Return whether each example is noisy or contradicted, and its capability, by example id."""
    truth = pq.read_table(demo.truth_path()).to_pylist()
    by_example: dict[str, dict[str, Any]] = {}
    for source in warehouse.read("corpus", corpus, "sources").to_pylist():
        # Several rows of the pool are one example after exact duplicates were merged.
        row = truth[source["row"] - 1]
        entry = by_example.setdefault(source["example_id"], {"noise": False, "contradiction": False})
        entry["capability"] = row["capability"]
        entry["noise"] |= row["label_noise"]
        entry["contradiction"] |= row["contradiction"]
    return by_example


def noise_kept(warehouse: Warehouse, selection: str, truth: dict[str, dict[str, Any]]) -> float:
    """Return the share of a selection's rows whose answer is wrong, in [0, 1]; `truth` as from `faults`."""
    ledger = warehouse.read("selection", selection, columns=["example_id", "kept"])
    kept = ledger.filter(ledger["kept"])["example_id"].to_pylist()
    return sum(bool(truth[example_id]["noise"]) for example_id in kept) / len(kept)
