"""Processor time of publishing the catalog, and of queries on it, as the number of selections grows.

Claim: publishing one more selection, `curate explain` and named queries cost at 2,000 selections at most 1.5 times what
they cost at one. Free SQL over ``ledger`` grows: a count over all ledgers opens all of them, which ``ledger_summary``
answers without.

    python benchmarks/publishing.py [--sizes 1,10,100,400,800,2000] [--rows 200] [--repeats 9] [--json]

Selections are copies of one, each with files of its own and a run record. A figure is the median over the repeats, in
milliseconds of processor time of this process.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.artefacts import Manifest
from curate.schemas.clusters import TERMS
from curate.schemas.corpus import EXAMPLES, SOURCES
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import explain, open_catalog, run_named_query, run_sql
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.schemas.artefacts import Noun

CLUSTERS = 20
SIZES = "1,10,100,400,800,2000"


def _make(warehouse: Warehouse, noun: Noun, inputs: dict[str, str], tables: dict[str, Any], **facts: Any) -> str:
    name = hashlib.blake2b(noun.encode(), digest_size=8).hexdigest()
    with warehouse.build(noun, name, 1, inputs, {"method": "paser", "budget": "0.1"}, {}) as builder:
        for table, (rows, schema) in tables.items():
            builder.write(table, 0, pa.Table.from_pylist(rows, schema=schema), schema)
        builder.finish(facts)
    return name


def first(warehouse: Warehouse, rows: int) -> tuple[str, list[str]]:
    """Build a corpus, clusters and one selection of made-up rows, and return the selection and the examples' ids."""
    ids = [hashlib.blake2b(str(row).encode(), digest_size=16).hexdigest() for row in range(rows)]
    text = {"prompt": "What is one plus one?", "response": "Two.", "n_turns": 2}
    turns = [
        {"role": role, "content": text[part], "tool_call": False, "supervised": None}
        for role, part in (("user", "prompt"), ("assistant", "response"))
    ]
    examples = [{"example_id": one, "messages": turns, **text} for one in ids]
    sources = [{"example_id": one, "source": "a.jsonl", "row": row + 1} for row, one in enumerate(ids)]
    corpus = _make(warehouse, "corpus", {}, {"part": (examples, EXAMPLES), "sources": (sources, SOURCES)})
    terms = [
        {"cluster": k, "size": rows // CLUSTERS, "terms": [f"t{k}-{i}" for i in range(10)]} for k in range(CLUSTERS)
    ]
    clusters = _make(warehouse, "clusters", {"corpus": corpus}, {"terms": (terms, TERMS)})
    ledger = [
        {
            "selection_id": "x", "example_id": one, "kept": row % 10 == 0,
            "rank": 1 + row // 10 if row % 10 == 0 else None,
            "reason": "selected" if row % 10 == 0 else "budget", "cluster": row % CLUSTERS, "score": row / 7,
        }
        for row, one in enumerate(ids)
    ]  # fmt: skip
    shares = {"size": rows // CLUSTERS, "eligible": rows // CLUSTERS, "kept": 1, "filled": 0, "refused": 0}
    allocation = [{"cluster": k, **shares, "degradation": k / 9, "budget": 1.5} for k in range(CLUSTERS)]
    tables = {"part": (ledger, LEDGER), "allocation": (allocation, ALLOCATION)}
    counts = {
        "n_examples": rows,
        "n_kept": -(-rows // 10),
        "reasons": {"selected": rows // 10, "budget": rows * 9 // 10},
    }
    return _make(warehouse, "selection", {"corpus": corpus, "clusters": clusters}, tables, **counts), ids


def add(warehouse: Warehouse, source: str, number: int) -> None:
    """Copy a selection under another id, without the flushes of a real build, with a record of its run."""
    folder = warehouse.folder("selection", source)
    name = hashlib.blake2b(f"copy {number}".encode(), digest_size=8).hexdigest()
    copy = folder.with_name(name)
    copy.mkdir()
    for path in folder.glob("*.parquet"):
        shutil.copyfile(path, copy / path.name)
    manifest = Manifest.from_json((folder / "manifest.json").read_text("utf-8"))
    settings = {**manifest.settings, "seed": number}
    renamed = dataclasses.replace(manifest, id=name, settings=settings, sequence=10 + number)
    (copy / "manifest.json").write_text(renamed.to_json(), "utf-8")
    run_id = f"20260101T{number:012d}-0000"
    now = "2026-01-01T00:00:00+00:00"
    record = {"id": run_id, "command": "select", "settings": settings, "started": now, "finished": now}
    (warehouse.root / "runs").mkdir(exist_ok=True)
    text = json.dumps({**record, "status": "finished", "artefacts": [f"selection/{name}"]})
    (warehouse.root / "runs" / f"{run_id}.json").write_text(text, "utf-8")


def cost(work: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of `work` in milliseconds."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return round(statistics.median(times), 1)


def questions(root: Path, example: str, selection: str) -> dict[str, Callable[[], object]]:
    """Return the measured queries by name, each in a session of its own as a command has it."""

    def sql(text: str) -> Callable[[], object]:
        def ask() -> object:
            with open_catalog(root) as con:
                return run_sql(con, text)

        return ask

    def named() -> object:
        with open_catalog(root) as con:
            return run_named_query(con, "reasons")

    def explained(selection_id: str | None) -> Callable[[], object]:
        def ask() -> object:
            with open_catalog(root) as con:
                return explain(con, example, selection_id)

        return ask

    return {
        "SELECT sum(n_examples) FROM selections": sql("SELECT sum(n_examples) FROM selections"),
        "named query reasons": named,
        "explain --selection latest": explained("latest"),
        "explain": explained(None),
        "rows of one selection": sql(f"SELECT * FROM ledger WHERE selection_id = '{selection}'"),
        "SELECT count(*) FROM ledger": sql("SELECT count(*) FROM ledger"),
    }


def measure(root: Path, sizes: list[int], rows: int, repeats: int) -> dict[str, dict[int, float]]:
    """Return the cost of each step in milliseconds at each number of selections."""
    warehouse = Warehouse(root)
    selection, ids = first(warehouse, rows)
    made, costs = 1, {}
    for size in sizes:
        for number in range(made, size):
            add(warehouse, selection, number)
        made = max(made, size)
        publish(warehouse)
        costs.setdefault("publish", {})[size] = cost(lambda: publish(warehouse), repeats)
        for name, ask in questions(root, ids[1], selection).items():
            ask()
            costs.setdefault(name, {})[size] = cost(ask, repeats)
        more = iter(range(made, made + repeats))

        def one_more(more: Any = more) -> None:
            add(warehouse, selection, next(more))
            publish(warehouse)

        costs.setdefault("publish one more selection", {})[size] = cost(one_more, repeats)
        made += repeats
    return costs


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=SIZES, help=f"numbers of selections, ascending (default {SIZES})")
    parser.add_argument("--rows", type=int, default=200, help="rows of each ledger (default 200)")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(Path(folder) / "warehouse", sizes, options.rows, options.repeats)
    if options.json:
        print(json.dumps(costs, indent=2))
        return
    print(f"{'ms of processor time':40}" + "".join(f"{size:>9,}" for size in sizes) + f"{'ratio':>8}")
    for name, of_size in costs.items():
        ratio = of_size[sizes[-1]] / of_size[sizes[0]]
        print(f"{name:40}" + "".join(f"{of_size[size]:>9.0f}" for size in sizes) + f"{ratio:>8.2f}")


if __name__ == "__main__":
    main()
