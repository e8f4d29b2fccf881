"""Growth of scoring time with the size of the corpus: seconds for each size, and the exponent.

    python benchmarks/scaling.py --original stories260K --corpus alpaca52k.parquet --rows 1000 4000 16000 52000

The compressed model is the original with half of its weights removed by magnitude. The exponent is the slope of the
least-squares line through (log rows, log seconds); goal: at most 1.05. It is also given over tokens, because the first
rows of a corpus may be shorter than the others, and over processor seconds, which other programs on the machine disturb
less than wall seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curate.engines.compress import CompressionRequest, compress
from curate.engines.models.loading import load_pair
from curate.engines.score.config import ScoreConfig
from curate.engines.score.scorer import score

sys.path.insert(0, str(Path(__file__).resolve().parent))
from references.pairs import real_rows  # noqa: E402  (this folder has to be on the path first)

PART_ROWS = 4096


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Return the slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", required=True, help="model folder")
    parser.add_argument("--corpus", required=True, help="Parquet file with instruction, input and output")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 4000, 16_000, 52_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        compress(options.original, f"{folder}/pruned", CompressionRequest("magnitude", sparsity=0.5))
        pair = load_pair(options.original, f"{folder}/pruned", device="cpu")
    list(score([real_rows(options.corpus, 64)], pair, ScoreConfig()))  # compiles and warms caches
    table: list[dict[str, Any]] = []
    for rows in options.rows:
        batch = real_rows(options.corpus, rows)
        parts = [batch.slice(start, PART_ROWS) for start in range(0, rows, PART_ROWS)]
        start, cpu = time.perf_counter(), time.process_time()
        scored = list(score(parts, pair, ScoreConfig()))
        wall, processor = time.perf_counter() - start, time.process_time() - cpu
        sides = [part.column(f"n_{side}_tokens").to_numpy() for part in scored for side in ("prompt", "response")]
        tokens = int(sum(side.sum() for side in sides))
        table.append({"rows": rows, "tokens": tokens, "seconds": wall, "processor_seconds": processor})
        if not options.json:
            print(f"{rows:6d} rows {tokens:9d} tokens {wall:8.1f} s  processor {processor:8.1f} s", flush=True)
    columns = {name: [row[name] for row in table] for name in table[0]}
    exponents = {
        f"{clock} over {size}": exponent(columns[size], columns[clock])
        for size in ("rows", "tokens")
        for clock in ("seconds", "processor_seconds")
    }
    if options.json:
        print(json.dumps({"threads": options.threads, "table": table, "exponent": exponents}, indent=2))
        return
    for name, slope in exponents.items():
        print(f"exponent of {name.replace('_', ' ')}: {slope:.3f}")


if __name__ == "__main__":
    main()
