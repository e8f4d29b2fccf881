"""Accuracy of each signal in the models' number format: rank correlation with float64 over rows.

    python benchmarks/precision.py
    python benchmarks/precision.py --original stories260K --compressed pruned --corpus alpaca52k.parquet --json

The reference is the same pair in float64: `references.donod` by autograd for don and nod, the definition for cds. Our
scores and the literal recipes run in float32 and bfloat16; a recipe is compared with itself in float64. Without model
folders, random models are used (hidden 256, 2 layers, vocabulary 8,192).
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
from curate.engines.score.top_k import divergence, top_k_predictions

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
    """Return don, nod and summed divergence of the literal recipes in the pair's own number format."""
    pairs = [literal_scores(pair.compressed, row, rate) for row in rows]
    sums = [float(divergences(pair, row).sum()) for row in rows]
    return {"don": [don for don, _ in pairs], "nod": [nod for _, nod in pairs], "cds": sums}


def mean_divergences(pair: Pair, rows: Sequence[Encoded]) -> list[float]:
    """Return cds as it is defined: the mean over the supervised tokens."""
    return [float(divergences(pair, row)[row.supervised.nonzero()[0] - 1].mean()) for row in rows]


def agreement(values: Sequence[float], truth: Sequence[float]) -> dict[str, float | None]:
    """Return Spearman's rank correlation, None where all values are equal, and the median relative error."""
    measured, exact = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    error = np.median(np.abs(measured - exact) / np.maximum(np.abs(exact), 1e-300))
    correlation = float(spearmanr(measured, exact).statistic) if np.ptp(measured) > 0 else None
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
        converted = in_format(pair, dtype)
        (scores,) = score([batch], converted, config)
        ours = {signal: scores.column(signal).take(pa.array(usable)).to_pylist() for signal in ("cds", "don", "nod")}
        for way, values in (("ours", ours), ("literal recipe", literal(converted, rows, config.probe_lr))):
            for signal in ("cds", "don", "nod"):
                row = {"signal": signal, "format": name, "way": way}
                table.append(row | agreement(values[signal], truths[way][signal]))
    return table


@torch.inference_mode()
def top_k_accuracy(pair: Pair, rows: Sequence[Encoded], tops: Sequence[int]) -> list[dict[str, Any]]:
    """Return the accuracy of cds from the original's `tops` most likely tokens (``--teacher-cache``)."""
    assert pair.original is not None
    truth = mean_divergences(in_format(pair, torch.float64), rows)
    table = []
    for top in tops:
        values, bounds = [], []
        for encoded in rows:
            targets = torch.from_numpy(encoded.ids[encoded.supervised])
            own = token_signals(pair.compressed.head.logits(response_states(pair.compressed, [encoded])), targets)
            states = response_states(pair.original, [encoded])
            summary = top_k_predictions(pair.original.head, states, targets, top, len(targets))
            lower_bound, shortfall_bound = divergence(own.delta, own.nll, targets, summary)
            values.append(float(lower_bound.mean()))
            bounds.append(float(shortfall_bound.mean()))
        shortfall = np.subtract(truth, values) / np.asarray(truth)
        row = {"top": top, "median_shortfall": float(np.median(shortfall)), "largest_shortfall": float(shortfall.max())}
        table.append(row | {"mean_bound": float(np.mean(bounds))} | agreement(values, truth))
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
    short = top_k_accuracy(pair, encoded, options.top)
    if options.json:
        report = {"rows": options.rows, "models": options.compressed or "random", "table": table, "short": short}
        print(json.dumps(report, indent=2))
        return
    for row in table:
        print("{signal:4s} {format:9s} {way:15s}".format(**row), end=" ")
        correlation = (
            "undefined: all values are equal" if row["rank_correlation"] is None else f"{row['rank_correlation']:.4f}"
        )
        print(f"relative error {row['median_relative_error']:.1e}  rank correlation {correlation}")
    for row in short:
        print("cds from {top} tokens: rank correlation {rank_correlation:.4f}, ".format(**row), end="")
        print("short by {median_shortfall:.1%} (at most {largest_shortfall:.1%}), ".format(**row), end="")
        print("bound {mean_bound:.4f} nats".format(**row))


if __name__ == "__main__":
    main()
