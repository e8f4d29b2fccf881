"""How much of each signal survives the models' number format: rank correlation against float64, row by row.

    python benchmarks/precision.py
    python benchmarks/precision.py --original stories260K --compressed pruned --corpus alpaca52k.parquet --json

The truth is the same pair in float64: `references.donod` by autograd for don and nod, the definition for cds. Ours runs
in float32 and bfloat16; beside it the literal recipes in the same formats, each against itself in float64. Random
models (hidden 256, 2 layers, vocabulary 8,192) where no folders are given.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import spearmanr

from curate.engines.models.loading import LanguageModel, Pair, load_pair
from curate.engines.score.config import ScoreConfig
from curate.engines.score.response_states import encode_rows, response_states
from curate.engines.score.scorer import score, template_for
from curate.engines.score.signals import token_signals
from curate.engines.score.top_k import divergence, summarise

sys.path.insert(0, str(Path(__file__).resolve().parent))
from references.donod import literal_scores  # noqa: E402  (this folder has to be on the path first)
from references.lengths import alpaca_lengths  # noqa: E402
from references.pairs import conversations, random_pair, real_rows  # noqa: E402
from references.paser import divergences  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.tokens.templates import Encoded

FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def in_format(pair: Pair, dtype: torch.dtype) -> Pair:
    """Return a copy of the pair with weights of another number format."""
    models = [
        LanguageModel(copy.deepcopy(side.model).to(dtype), side.name)
        for side in (pair.original, pair.compressed)
        if side is not None
    ]
    return Pair(models[1], models[0], pair.tokenizer)


def literal(pair: Pair, rows: Sequence[Encoded], rate: float) -> dict[str, list[float]]:
    """Return what the literal recipes give in the pair's own number format."""
    pairs = [literal_scores(pair.compressed, row, rate) for row in rows]
    sums = [float(divergences(pair, row).sum()) for row in rows]
    return {"don": [don for don, _ in pairs], "nod": [nod for _, nod in pairs], "cds": sums}


def mean_divergences(pair: Pair, rows: Sequence[Encoded]) -> list[float]:
    """Return cds as it is defined: the mean over the supervised tokens."""
    return [float(divergences(pair, row)[row.supervised.nonzero()[0] - 1].mean()) for row in rows]


def agreement(found: Sequence[float], truth: Sequence[float]) -> dict[str, float | None]:
    """Return Spearman's rank correlation, None where all rows got the same number, and the median relative error."""
    one, other = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    error = np.median(np.abs(one - other) / np.maximum(np.abs(other), 1e-300))
    correlation = float(spearmanr(one, other).statistic) if np.ptp(one) > 0 else None
    return {"rank_correlation": correlation, "median_relative_error": float(error)}


def measure(pair: Pair, batch: pa.RecordBatch, config: ScoreConfig) -> list[dict[str, Any]]:
    """Return one row for each signal, number format and way of computing."""
    encoded = encode_rows(batch, template_for(pair, config))
    usable = [index for index, row in enumerate(encoded) if row.n_response]
    rows = [encoded[index] for index in usable]
    exact = in_format(pair, torch.float64)
    definition = literal(exact, rows, config.probe_lr)
    truths = {"ours": definition | {"cds": mean_divergences(exact, rows)}, "literal recipe": definition}
    table: list[dict[str, Any]] = []
    for name, dtype in FORMATS.items():
        here = in_format(pair, dtype)
        (scores,) = score([batch], here, config)
        ours = {signal: scores.column(signal).take(pa.array(usable)).to_pylist() for signal in ("cds", "don", "nod")}
        for way, found in (("ours", ours), ("literal recipe", literal(here, rows, config.probe_lr))):
            for signal in ("cds", "don", "nod"):
                row = {"signal": signal, "format": name, "way": way}
                table.append(row | agreement(found[signal], truths[way][signal]))
    return table


@torch.inference_mode()
def short_memory(pair: Pair, rows: Sequence[Encoded], tops: Sequence[int]) -> list[dict[str, Any]]:
    """Return how cds from the original's `tops` likeliest tokens (``--teacher-cache``) compares with cds itself."""
    assert pair.original is not None
    truth = mean_divergences(in_format(pair, torch.float64), rows)
    table = []
    for top in tops:
        found, bounds = [], []
        for row in rows:
            targets = torch.from_numpy(row.ids[row.supervised])
            own = token_signals(pair.compressed.head.logits(response_states(pair.compressed, [row])), targets)
            states = response_states(pair.original, [row])
            summary = summarise(pair.original.head, states, targets, top, len(targets))
            told, lacking = divergence(own.delta, own.nll, targets, summary)
            found.append(float(told.mean()))
            bounds.append(float(lacking.mean()))
        short = np.subtract(truth, found) / np.asarray(truth)
        told = {"top": top, "median_shortfall": float(np.median(short)), "largest_shortfall": float(short.max())}
        table.append(told | {"mean_bound": float(np.mean(bounds))} | agreement(found, truth))
    return table


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", help="model folder")
    parser.add_argument("--compressed", help="model folder")
    parser.add_argument("--corpus", help="Parquet file of alpaca52k: lengths for random models, rows for real ones")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--top", type=int, nargs="+", default=[16, 64, 256], help="sizes of --teacher-cache to try")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.compressed:
        pair = load_pair(options.original, options.compressed, device="cpu", dtype="float32")
        batch = real_rows(options.corpus, options.rows)
    else:
        pair = random_pair("narrow")
        batch = conversations(*alpaca_lengths(options.rows, options.corpus), pair.compressed.head.vocabulary)
    table = measure(pair, batch, ScoreConfig())
    encoded = [row for row in encode_rows(batch, template_for(pair, ScoreConfig())) if row.n_response]
    short = short_memory(pair, encoded, options.top)
    if options.json:
        report = {"rows": options.rows, "models": options.compressed or "random", "table": table, "short": short}
        print(json.dumps(report, indent=2))
        return
    for row in table:
        print("{signal:4s} {format:9s} {way:15s}".format(**row), end=" ")
        correlation = (
            "none: one number for all" if row["rank_correlation"] is None else f"{row['rank_correlation']:.4f}"
        )
        print(f"relative error {row['median_relative_error']:.1e}  rank correlation {correlation}")
    for row in short:
        print("cds from {top} tokens: rank correlation {rank_correlation:.4f}, ".format(**row), end="")
        print("short by {median_shortfall:.1%} (at most {largest_shortfall:.1%}), ".format(**row), end="")
        print("bound {mean_bound:.4f} nats".format(**row))


if __name__ == "__main__":
    main()
