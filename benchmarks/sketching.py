"""Cost of `--sketch`: scoring with gradient sketches and mean states against scoring without, in one process.

    python benchmarks/sketching.py                                    # hidden 512, 8 layers, vocabulary 32,000
    python benchmarks/sketching.py --original A --compressed B --corpus alpaca52k.parquet --rows 48

The sides alternate; the ratio is that of the fastest repetitions, in processor time (wall time on a GPU): other work on
the machine only ever adds. Goal: at most 1.05.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from curate.engines.models.loading import load_pair
from curate.engines.score.config import ScoreConfig
from curate.engines.score.scorer import score

sys.path.insert(0, str(Path(__file__).resolve().parent))
from references.lengths import alpaca_lengths  # noqa: E402  (this folder has to be on the path first)
from references.pairs import conversations, random_pair, real_rows  # noqa: E402
from scoring import alternate, show  # noqa: E402

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.engines.models.loading import Pair

GOAL = 1.05


def inputs(options: argparse.Namespace) -> tuple[Pair, pa.RecordBatch]:
    """Return the pair and the rows that the options name."""
    if options.original:
        pair = load_pair(options.original, options.compressed, device=options.device, dtype=options.dtype)
        return pair, real_rows(options.corpus, options.rows)
    pair = random_pair(options.shape, options.device, getattr(torch, options.dtype))
    return pair, conversations(*alpaca_lengths(options.rows, options.corpus, seed=1), pair.compressed.head.vocabulary)


def main() -> None:
    """Measure, print a table or JSON; exit with 1 above the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", help="folder of the original (default: a random pair)")
    parser.add_argument("--compressed", help="folder of the compressed model")
    parser.add_argument("--shape", default="small", help="shape of the random pair: narrow, small or 8b")
    parser.add_argument("--corpus", help="Parquet file with instruction, input and output")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pair, batch = inputs(options)
    plain = ScoreConfig()
    sides = {
        "without sketches": lambda: list(score([batch], pair, plain)),
        "with sketches": lambda: list(score([batch], pair, replace(plain, sketch=True))),
    }
    report = alternate(pair, sides, options.repeats, "without sketches")
    fastest = {
        name: min(values) for name, values in report["processor" if options.device == "cpu" else "seconds"].items()
    }
    ratio = fastest["with sketches"] / fastest["without sketches"]
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
        print(f"fastest: {', '.join(f'{one:.2f} s' for one in fastest.values())}; ratio {ratio:.3f}, goal {GOAL}")
    sys.exit(ratio > GOAL)


if __name__ == "__main__":
    main()
