"""Perplexity, bytes and forward speed of a model compressed in every way, beside the uncompressed one.

    python benchmarks/compression.py --model SmolLM2-135M-Instruct --text wikitext.txt --corpus alpaca.parquet

Perplexity: ``--tokens`` tokens of the text in windows of 512, each from its own beginning. Calibration: 64
conversations of the corpus; 160 for the compensation, which needs ten tokens per kept channel, and 8 for the orders of
layers that measure losses. Speed: median processor seconds of one window's forward pass, both models alternating in one
process; the ratio is original / compressed. Results are kept in ``--out`` and not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.width.channels import mlp_channels
from curate.engines.compress.width.elastic import ELASTIC
from curate.engines.models.projections import find_projections
from curate.schemas.corpus import Turn
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WINDOW = 512
SHARES = (0.15, 0.25)


def requests(seeds: int, mlp_share: float) -> Iterator[tuple[str, str | None, CompressionRequest]]:
    """Yield name, name of the sorted model to start from if any, and request of every compression.

    `mlp_share` is the share of the layers' weights that their MLPs hold.
    """
    for order in ("wanda", "energy", "ridge"):
        for share in SHARES:
            yield f"width {share:.0%} {order}", order, request("truncate", sparsity=share)
    for share in SHARES:
        yield f"width {share:.0%} magnitude", None, request("width", sparsity=share, order="magnitude")
        for seed in range(seeds):
            yield f"width {share:.0%} random {seed}", None, request("width", sparsity=share, order="random", seed=seed)
    for n_groups in (1, 2):
        yield f"heads {n_groups}", None, request("heads", n_groups=n_groups)
    for n_blocks in (2, 5):
        for by in ("influence", "change", "contiguous"):
            yield f"blocks {n_blocks} {by}", None, request("blocks", n_blocks=n_blocks, by=by)
    for share in SHARES:
        # Zeros in the share of all weights that the width takes out: an MLP channel is a share of the MLP only.
        for method in ("wanda", "magnitude"):
            yield f"zeros {share:.0%} {method}", None, request(method, sparsity=mlp_share * share)
    for share in SHARES:
        more = request("width", sparsity=share, compensate=True, calibration_rows=160)
        yield f"width {share:.0%} wanda compensated", None, more
    yield "quantise 8 bits", None, request("quantise")
    for n_blocks in (2, 5):
        for by in ("leave-one-out", "greedy"):
            yield f"blocks {n_blocks} {by}", None, request("blocks", n_blocks=n_blocks, by=by, calibration_rows=8)


def request(method: Any, **how: Any) -> CompressionRequest:
    """Return a request that calibrates in float32 on 64 conversations."""
    return CompressionRequest(method, **{"calibration_rows": 64, "dtype": "float32", **how})


def windows(model: Path, text: Path, tokens: int) -> list[torch.Tensor]:
    """Return consecutive windows of token ids, each (1, 512)."""
    ids = AutoTokenizer.from_pretrained(model)(text.read_text("utf-8")[: 8 * tokens], return_tensors="pt").input_ids
    return [ids[:, start : start + WINDOW] for start in range(0, tokens, WINDOW)]


@torch.inference_mode()
def perplexity(model: Any, rows: Sequence[torch.Tensor]) -> float:
    """Return exp of the mean negative log-likelihood of all tokens but the first of each window."""
    losses = [float(model(row, labels=row).loss) for row in rows]
    return math.exp(statistics.fmean(losses))


@torch.inference_mode()
def speed(original: Any, model: Any, row: torch.Tensor, repeats: int) -> float:
    """Return the median processor time of a forward pass of `original` over that of `model`."""
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(repeats):
        for index, one in enumerate((original, model)):
            start = time.process_time()
            one(row)
            times[index].append(time.process_time() - start)
    return statistics.median(times[0]) / statistics.median(times[1])


def mlp_share(model: Any) -> float:
    """Return the share of the decoder layers' projections that lie in their MLPs."""
    inside = {id(one.module) for mlp in mlp_channels(model) for one in (*mlp.into, mlp.out)}
    sizes = [(one.matrix.numel(), id(one.module) in inside) for one in find_projections(model)]
    return sum(size for size, of_mlp in sizes if of_mlp) / sum(size for size, _ in sizes)


def load(folder: Path) -> Any:
    """Return a model that computes in float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def size(folder: Path) -> int:
    """Return the bytes of the weights."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def conversations(corpus: Path) -> list[list[Turn]]:
    """Return the first 2,000 conversations of an Alpaca file."""
    return [
        [Turn("user", f"{row['instruction']}\n{row['input']}".strip()), Turn("assistant", row["output"])]
        for row in pq.read_table(corpus).slice(0, 2000).to_pylist()
    ]


def sorted_model(arguments: argparse.Namespace, order: Any) -> Path:
    """Return the folder of the model sorted in an order, made once."""
    folder: Path = Path(tempfile.gettempdir()) / f"{arguments.model.name}-sorted-{order}"
    if not folder.exists():
        one = request("sort", order=order)
        compress(arguments.model, folder, one, calibration=conversations(arguments.corpus))
    return folder


def measure(
    arguments: argparse.Namespace, source: str | None, one: CompressionRequest, original: Any, rows: Any
) -> dict[str, Any]:
    """Compress, measure and remove the result."""
    start = sorted_model(arguments, source) if source else arguments.model
    turns = conversations(arguments.corpus) if one.needs_calibration else None
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "out"
        report = compress(start, out, one, calibration=turns)
        model = load(out)
        calibrated = report["calibration_tokens"]
        if source:
            calibrated = json.loads((start / ELASTIC).read_text())["calibration_tokens"]
        return {
            "parameters": report["parameters_after"] / report["parameters_before"],
            "zeros": report["sparsity"],
            "perplexity": perplexity(model, rows),
            "bytes": size(out) / size(arguments.model),
            "speed": speed(original, model, rows[0], arguments.repeats),
            "layers_removed": report["layers_removed"],
            "calibration_tokens": calibrated,
        }


def main() -> None:
    """Measure what is missing in the file of results, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "text", "corpus"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results/compression.json"))
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    original, rows = load(arguments.model), windows(arguments.model, arguments.text, arguments.tokens)
    if "original" not in results:
        results["original"] = {"parameters": 1.0, "zeros": 0.0, "perplexity": perplexity(original, rows), "bytes": 1.0}
    for name, source, one in requests(arguments.seeds, mlp_share(original)):
        if name not in results:
            try:
                results[name] = measure(arguments, source, one, original, rows)
            except CurateError as error:  # a refusal is a result too
                results[name] = {"refused": str(error)}
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")
        print(name, results[name], flush=True)


if __name__ == "__main__":
    main()
