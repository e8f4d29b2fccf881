"""Speed of embedding prompts, and cosine to the result, compared with `encode` of sentence-transformers.

Claim: batches of one exact length are faster than `encode`, which sorts by length and pads; in bfloat16, on a
processor that multiplies it natively, at least twice as fast at a cosine of at least 0.99.

    python benchmarks/embedding.py --corpus prompts.parquet --rows 2000 --threads 2 --json

Without --corpus the prompts of the demo are used, which are all short. The ways alternate in one process; medians are
compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curate.engines.embed.encode import embed, load_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def prompts(corpus: Path | None, rows: int) -> list[str]:
    """Return `rows` evenly spaced prompts of a corpus."""
    from curate.flows.demo import pool_path
    from curate.schemas.corpus import Example, prompt_text
    from curate.storage.formats import read_source

    read = read_source(str(corpus or pool_path()), None, None, None)
    texts = [prompt_text(row.turns) for row in read if isinstance(row, Example)]
    return texts[:: max(1, len(texts) // rows)][:rows]


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="corpus whose prompts are embedded (default: the demo's)")
    parser.add_argument("--rows", type=int, default=500, help="prompts (default 500)")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of each way (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = prompts(options.corpus, options.rows)
    single, half = (load_encoder(options.encoder, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    ways: dict[str, Callable[[], NDArray[np.float32]]] = {
        "plain encode": lambda: np.asarray(single.model.encode(texts, normalize_embeddings=True)),
        "exact lengths": lambda: embed(texts, single),
        "exact lengths, bfloat16": lambda: embed(texts, half),
    }
    vectors = {name: way() for name, way in ways.items()}  # the first call also warms up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    plain = "plain encode"
    table: list[dict[str, Any]] = [
        {
            "way": name,
            "seconds": round(median, 3),
            "rows_per_second": round(len(texts) / median, 1),
            "times_faster_than_plain": round(medians[plain] / median, 2),
            "least_cosine": round(float((vectors[name] * vectors[plain]).sum(axis=1).min()), 6),
        }
        for name, median in medians.items()
    ]
    report = {"rows": len(texts), "threads": options.threads, "ways": table}
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for row in table:
        print("{way:24s} {rows_per_second:8.1f} rows/s  {times_faster_than_plain:5.2f} x".format(**row), end="")
        print(f"  least cosine {row['least_cosine']:.4f}")


if __name__ == "__main__":
    main()
