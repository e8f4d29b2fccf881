"""Cost of scoring compared with the bare forward passes, and a profile of where the time goes.

    python benchmarks/scoring.py --corpus alpaca52k.parquet --json       # CPU: hidden 512, 8 layers, vocabulary 32,000
    python benchmarks/scoring.py --device cuda --shape 8b --rows 4096 --batch-tokens 32768

Bare passes: the same batches through both models, the output heads on the supervised positions only, no loss. Ours:
everything from conversations to the table of scores, tokenisation included. Recipes: `references.donod` and
`references.paser`, on the first ``--recipe-rows`` rows. The sides alternate in one process; the ratio is that of the
medians. Goals: at most 1.25 on a CPU, 1.10 on a GPU of 80 GB at ``--shape 8b``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curate.engines.models.loading import Pair
from curate.engines.score import signals
from curate.engines.score.config import ScoreConfig
from curate.engines.score.kernels import token_kernel
from curate.engines.score.response_states import batch_runner, encode_rows, response_states
from curate.engines.score.scorer import score, template_for
from curate.engines.tokens.batching import example_chunks, token_batches

sys.path.insert(0, str(Path(__file__).resolve().parent))
from references.donod import literal_scores  # noqa: E402  (this folder has to be on the path first)
from references.lengths import alpaca_lengths  # noqa: E402
from references.limits import memory, utilisation  # noqa: E402
from references.pairs import conversations, random_pair  # noqa: E402
from references.paser import public_scores  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from curate.engines.tokens.templates import Encoded

PART_ROWS = 4096


def bare(pair: Pair, encoded: Sequence[Encoded], config: ScoreConfig) -> None:
    """Run both models over the batches of scoring, and their output heads over the supervised positions."""

    @torch.inference_mode()
    def work(batch: list[int]) -> None:
        rows = [encoded[row] for row in batch]
        for model in models_of(pair):
            states = response_states(model, rows)
            for first, last in example_chunks([row.n_response for row in rows], config.chunk_tokens):
                start, stop = (sum(row.n_response for row in rows[:end]) for end in (first, last))
                for piece in states[start:stop].split(config.chunk_tokens):
                    model.head.logits(piece)

    usable = [index for index, item in enumerate(encoded) if item.n_response]
    batch_runner(pair.compressed, config).run([len(item.ids) for item in encoded], usable, work)


def models_of(pair: Pair) -> list[Any]:
    """Return the pair's models."""
    return [model for model in (pair.compressed, pair.original) if model is not None]


def synchronize(pair: Pair) -> None:
    """Wait until the device has finished the queued work."""
    if pair.compressed.device.type == "cuda":
        torch.cuda.synchronize(pair.compressed.device)


def alternate(pair: Pair, sides: dict[str, Callable[[], object]], repeats: int, base: str) -> dict[str, Any]:
    """Time the sides alternately; return the seconds of each repetition and the ratios of medians to `base`."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(repeats + 1):
        for name, side in sides.items():
            synchronize(pair)
            start, cpu = time.perf_counter(), time.process_time()
            side()
            synchronize(pair)
            if repetition:  # the first one compiles and warms caches
                seconds[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - cpu)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    processor_medians = {name: statistics.median(values) for name, values in processor.items()}
    return {
        "seconds": seconds,
        "processor": processor,
        "medians": medians,
        "processor_medians": processor_medians,
        "ratio": {name: medians[name] / medians[base] for name in sides},
        "processor_ratio": {name: processor_medians[name] / processor_medians[base] for name in sides},
    }


def against_bare(pair: Pair, batch: pa.RecordBatch, config: ScoreConfig, repeats: int) -> dict[str, Any]:
    """Return the cost of scoring, compiled and eager, relative to the bare passes."""
    encoded = encode_rows(batch, template_for(pair, config))
    sides: dict[str, Callable[[], object]] = {"bare": lambda: bare(pair, encoded, config)}
    for kind in ("compiled", "eager"):
        variant = replace(config, kernel=kind)
        sides[kind] = lambda c=variant: list(score([batch], pair, c))
    counts = {"tokens": sum(len(item.ids) for item in encoded), "supervised": sum(item.n_response for item in encoded)}
    return counts | alternate(pair, sides, repeats, "bare")


def against_recipes(pair: Pair, batch: pa.RecordBatch, config: ScoreConfig, repeats: int) -> dict[str, Any]:
    """Return the cost of the literal recipes relative to ours on the same rows; ours computes all signals at once."""
    encoded = encode_rows(batch, template_for(pair, config))
    single, rate = Pair(pair.compressed, None, pair.tokenizer), config.probe_lr
    donod = {
        "ours": lambda: list(score([batch], single, config)),
        "literal, output layer": lambda: [literal_scores(pair.compressed, row, rate) for row in encoded],
        "literal, every layer": lambda: [literal_scores(pair.compressed, row, rate, True) for row in encoded],
    }
    paser = {"ours": lambda: list(score([batch], pair, config)), "public": lambda: public_scores(pair, encoded)}
    return {"don, nod": alternate(pair, donod, repeats, "ours"), "cds": alternate(pair, paser, repeats, "ours")}


class Clock:
    """Adds up seconds under names."""

    def __init__(self, pair: Pair) -> None:
        self.seconds: dict[str, float] = {}
        self._pair = pair

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to `name`."""
        synchronize(self._pair)
        start = time.perf_counter()
        yield
        synchronize(self._pair)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@torch.inference_mode()
def profile(pair: Pair, batch: pa.RecordBatch, config: ScoreConfig) -> dict[str, float]:
    """Return milliseconds per supervised token of each step of scoring, run one after the other."""
    clock, head = Clock(pair), pair.compressed.head
    device, threads = head.weight.device, torch.get_num_threads()
    compiled, _ = token_kernel("compiled", head.vocabulary, device, True, threads)
    with clock("tokenising"):
        encoded = encode_rows(batch, template_for(pair, config))
    budget = config.tokens_per_batch(device.type)
    usable = [index for index, item in enumerate(encoded) if item.n_response]
    for numbers in token_batches([len(item.ids) for item in encoded], usable, budget):
        rows = [encoded[number] for number in numbers]
        with clock("both models"):
            states = [response_states(model, rows) for model in models_of(pair)]
        targets = torch.from_numpy(np.concatenate([row.ids[row.supervised] for row in rows])).to(device)
        counts = [row.n_response for row in rows]
        ends = np.cumsum([0, *counts])
        for first, last in example_chunks(counts, config.chunk_tokens):
            chunk = slice(int(ends[first]), int(ends[last]))
            with clock("both output layers"):
                own, other = (m.head.logits(s[chunk]) for m, s in zip(models_of(pair), states, strict=True))
            with clock("statistics, eager"):
                blocked(signals.token_signals, own, targets[chunk], other)
            with clock("statistics, compiled"):
                blocked(compiled, own, targets[chunk], other)
            pieces = zip(own.split(counts[first:last]), states[0][chunk].float().split(counts[first:last]), strict=True)
            with clock("gradient norms"):
                for gradient, hidden in pieces:
                    signals.gradient_norm_squared(gradient, hidden)
    supervised = sum(item.n_response for item in encoded)
    return {name: 1e3 * total / supervised for name, total in clock.seconds.items()}


def blocked(kernel: Any, logits: torch.Tensor, targets: torch.Tensor, reference: torch.Tensor) -> None:
    """Apply a kernel to as many rows at a time as scoring does."""
    step = max(1, signals.block_elements(logits.device) // logits.shape[1])
    for start in range(0, len(targets), step):
        rows = slice(start, start + step)
        kernel(logits[rows], targets[rows], reference[rows])


def padding(prompts: np.ndarray[Any, Any], responses: np.ndarray[Any, Any], budget: int, longest: int) -> float:
    """Return the share of padding among all computed tokens, for a corpus in parts of 4,096 rows."""
    lengths = np.minimum(prompts + responses + 10, longest)
    computed = 0
    for start in range(0, len(lengths), PART_ROWS):
        part = lengths[start : start + PART_ROWS].tolist()
        computed += sum(len(rows) * part[rows[0]] for rows in token_batches(part, range(len(part)), budget))
    return 1.0 - float(lengths.sum()) / computed


def main() -> None:
    """Measure, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", help="default: float32 on a CPU, bfloat16 elsewhere")
    parser.add_argument("--shape", default="small", help="small or 8b (default small)")
    parser.add_argument("--corpus", help="Parquet file of alpaca52k, for its lengths (default: log-normal draws)")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--recipe-rows", type=int, default=16, help="rows for the literal recipes (default 16)")
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype or ("float32" if options.device == "cpu" else "bfloat16"))
    pair = random_pair(options.shape, options.device, dtype)
    config = ScoreConfig(batch_tokens=options.batch_tokens)
    corpus_lengths = alpaca_lengths(52_002, options.corpus)
    batch = conversations(*alpaca_lengths(options.rows, options.corpus, seed=1), pair.compressed.head.vocabulary)
    recipe_batch = batch.slice(0, options.recipe_rows)
    budget = config.tokens_per_batch(pair.compressed.device.type)
    report = {
        "device": options.device,
        "dtype": str(dtype),
        "threads": torch.get_num_threads(),
        "shape": options.shape,
        "lengths": "alpaca52k" if options.corpus else "log-normal",
        "rows": options.rows,
        "padding": padding(*corpus_lengths, budget, config.max_length),
        **against_bare(pair, batch, config, options.repeats),
    }
    report["utilisation"] = utilisation(pair, report)
    if options.device != "cpu":
        report["memory"] = memory(pair, report, budget, config.max_length)
    report |= {
        "milliseconds_per_supervised_token": profile(pair, batch, config),
        "recipes": against_recipes(pair, recipe_batch, config, options.repeats),
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(
        "{rows} rows, {tokens} tokens, {supervised} supervised, {threads} threads, {lengths} lengths".format(**report)
    )
    print("padding over 52,002 rows: {padding:.2%}".format(**report))
    show(report)
    for name, value in report["milliseconds_per_supervised_token"].items():
        print(f"  {name:22s} {value:8.3f} ms per supervised token")
    for name, value in (report["utilisation"] | report.get("memory", {})).items():
        print(f"  {name:22s} {value:10.3f}")
    for name, timing in report["recipes"].items():
        print(f"{name}, {len(recipe_batch)} rows:")
        show(timing)


def show(timing: dict[str, Any]) -> None:
    """Print the medians of each side and their ratios."""
    for name, median in timing["medians"].items():
        wall = f"{median:8.2f} s {timing['ratio'][name]:6.2f} x"
        print(f"  {name:22s} {wall}   processor {timing['processor_medians'][name]:8.2f} s", end=" ")
        print(f"{timing['processor_ratio'][name]:6.2f} x")


if __name__ == "__main__":
    main()
