"""Time of a selection from stored artefacts to a published catalog: pool, method, ledger and catalog together.

Claim: one million rows at a budget of 10 % in at most 10 s in each consistency mode. Synthetic artefacts are written
once to a temporary warehouse, and read as the stage reads them. The same run compares building the ledger by columns
with building it row by row, on part of the rows.

    python benchmarks/selection_stage.py --rows 1000000 --json
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows.stages import selection
from curate.flows.stages.selecting.pool import Upstream
from curate.flows.stages.selecting.request import resolve_request
from curate.schemas.clusters import CLUSTERS, TERMS
from curate.schemas.corpus import EXAMPLES
from curate.schemas.scores import SCORES
from curate.schemas.selection import LEDGER
from curate.schemas.settings import resolve
from curate.storage.catalog.publish import publish
from curate.storage.warehouse.warehouse import Warehouse

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from references.pools import make_pool  # noqa: E402  (needs the tests' folder on the path)

if TYPE_CHECKING:
    from curate.schemas.artefacts import Noun
    from curate.schemas.selection import Decision, Pool

PART_ROWS = 4096
MODES = ("expected", "strict", "soft", "off")
LEDGER_ROWS = 20_000


def write(warehouse: Warehouse, noun: Noun, tables: dict[str, tuple[pa.Table, pa.Schema]], **facts: Any) -> str:
    """Write one artefact in parts and return its id."""
    artefact_id = f"{noun:0<16}"
    with warehouse.build(noun, artefact_id, 1, {"corpus": f"{'corpus':0<16}"}, {}, {}) as builder:
        for name, (table, schema) in tables.items():
            for index, start in enumerate(range(0, len(table), PART_ROWS)):
                builder.write(name, index, table.slice(start, PART_ROWS), schema)
        builder.finish(facts)
    return artefact_id


def store(warehouse: Warehouse, pool: Pool) -> Upstream:
    """Write a synthetic pool as corpus, clusters and scores."""
    n, ids = len(pool), pa.array(pool.example_id)
    texts = {name: pa.array([""] * n) for name in ("prompt", "response")}
    examples = {"example_id": ids, "messages": [[]] * n, "tools": pa.nulls(n, pa.string()), **texts}
    examples["n_turns"] = np.full(n, 2, np.int32)
    assert pool.cluster is not None
    assert pool.concepts is not None
    zeros = np.zeros(n, np.float32)
    coordinates = dict.fromkeys(("map_x", "map_y", "diffusion_x", "diffusion_y"), zeros)
    lists = pa.ListArray.from_arrays(pool.concepts[0].astype(np.int32), pool.concepts[1])
    clusters = {"example_id": ids, "cluster": pool.cluster, "membership": zeros + 1, **coordinates, "concepts": lists}
    sizes = np.bincount(pool.cluster)
    terms = {"cluster": np.arange(len(sizes)), "size": sizes, "terms": [["term"]] * len(sizes)}
    scores: dict[str, Any] = {
        "example_id": ids,
        "status": np.where(pool.eligible, "ok", "no_response_tokens"),
        "n_prompt_tokens": pool.n_prompt_tokens,
        "n_response_tokens": pool.n_response_tokens,
        "truncated": np.zeros(n, np.bool_),
        **{name: pa.array(values, mask=np.isnan(values)) for name, values in pool.signals.items()},
    }
    columns = {field.name: scores.get(field.name, pa.nulls(n, field.type)) for field in SCORES}
    return Upstream(
        write(warehouse, "corpus", {"part": (pa.table(examples, schema=EXAMPLES), EXAMPLES)}, n_quarantined=0),
        None,
        write(
            warehouse,
            "clusters",
            {"part": (pa.table(clusters, schema=CLUSTERS), CLUSTERS), "terms": (pa.table(terms, schema=TERMS), TERMS)},
        ),
        write(warehouse, "scores", {"part": (pa.table(columns, schema=SCORES), SCORES)}),
    )


def measure(warehouse: Warehouse, upstream: Upstream, mode: str, seeds: range) -> dict[str, Any]:
    """Return the median seconds of a selection and of publishing it over seeds; each seed is a new artefact."""
    walls, cpus, published, selection_id = [], [], [], ""
    for seed in seeds:
        how = {"method": "paser", "budget": "0.1", "options": {"consistency": mode}}
        settings = resolve({"seed": seed, "select": how})
        wall, cpu = time.perf_counter(), time.process_time()
        selection_id = selection.choose(
            warehouse, resolve_request(settings), upstream.corpus, None, upstream.clusters, upstream.scores
        )
        middle = time.perf_counter()
        publish(warehouse)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        published.append(time.perf_counter() - middle)
    return {
        "mode": mode,
        "seconds": round(statistics.median(walls), 2),
        "cpu_seconds": round(statistics.median(cpus), 2),
        "publish_seconds": round(statistics.median(published), 2),
        "kept": warehouse.manifest("selection", selection_id).facts["n_kept"],
    }


def against_rows(pool: Pool, chosen: Decision) -> float:
    """Return how many times faster the ledger is built by columns than row by row; exits if the two differ."""
    from curate.flows.stages.selecting.screening import Screened

    n = len(pool)
    unscreened = Screened(pool, np.full(n, "", pool.example_id.dtype), np.full(n, np.nan))
    start = time.perf_counter()
    fast = selection.ledger("s" * 16, pool, chosen, unscreened)
    middle = time.perf_counter()
    ranks = {int(row): rank for rank, row in enumerate(chosen.order.tolist(), start=1)}
    assert pool.cluster is not None
    rows = [
        {
            "selection_id": "s" * 16,
            "example_id": str(pool.example_id[row]),
            "kept": row in ranks,
            "rank": ranks.get(row),
            "reason": chosen.reason[row],
            "related_id": str(pool.example_id[chosen.related[row]]) if chosen.related[row] >= 0 else None,
            "cluster": int(pool.cluster[row]),
            "score": None if np.isnan(chosen.score[row]) else float(chosen.score[row]),
            "overlap": None,
        }
        for row in range(n)
    ]
    slow = pa.Table.from_pylist(rows, schema=LEDGER)
    if not fast.equals(slow):
        sys.exit("the ledgers built by columns and by rows differ")
    return (time.perf_counter() - middle) / (middle - start)


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=52_000, help="rows of the pool (default 52000)")
    parser.add_argument("--repeats", type=int, default=1, help="selections per mode (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(Path(folder))
        upstream = store(warehouse, make_pool(options.rows, n_clusters=40))
        modes = [measure(warehouse, upstream, mode, range(options.repeats)) for mode in MODES]
    from curate.selectors.registry import selector

    small_pool = make_pool(min(options.rows, LEDGER_ROWS), n_clusters=40)
    entry = selector("paser")
    chosen = entry.select(small_pool, len(small_pool) // 10, False, entry.settings(), np.random.default_rng(0))
    report = {
        "rows": options.rows,
        "modes": modes,
        "ledger_times_faster_than_rows": round(against_rows(small_pool, chosen), 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{options.rows} rows, budget 10 %; peak memory {report['peak_memory_mb']:.0f} MiB")
    for row in modes:
        print("{mode:10s} {seconds:7.2f} s  ({cpu_seconds:.2f} s of processor time), of which ".format(**row), end="")
        print("publishing {publish_seconds:.2f} s; kept {kept}".format(**row))
    print(f"the ledger is built {report['ledger_times_faster_than_rows']} times faster by columns than by rows")


if __name__ == "__main__":
    main()
