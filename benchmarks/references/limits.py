"""Utilisation of the hardware: measured speed and memory relative to the peak and to the prediction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.score.memory import MIB, ModelSize, ScoringLoad, predict_memory

if TYPE_CHECKING:
    from curate.engines.models.loading import Pair


def peak_operations(device: torch.device, dtype: torch.dtype) -> float:
    """Return the highest number of operations per second of a product of square matrices."""
    size = 8192 if device.type == "cuda" else 1024
    square = torch.randn((size, size), device=device).to(dtype)
    seconds = []
    for _ in range(6):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        square @ square
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(seconds)


def utilisation(pair: Pair, report: dict[str, Any]) -> dict[str, float]:
    """Return tokens per second of the compiled kernel, and its share of the peak operations per second.

    Operations: 2 × parameters × tokens of each model; the output head on the supervised tokens only.
    """
    head, sides = pair.compressed.head.weight, [pair.compressed, *([pair.original] if pair.original else [])]
    # Twice: the input embedding is a lookup, and the head runs on the supervised tokens only.
    body = sum(weight.numel() for weight in pair.compressed.model.parameters()) - 2 * head.numel()
    operations = 2.0 * len(sides) * (body * report["tokens"] + head.numel() * report["supervised"])
    seconds = report["medians"]["compiled"]
    peak = peak_operations(head.device, head.dtype)
    return {
        "tokens_per_second": report["tokens"] / seconds,
        "ceiling_teraflops": peak / 1e12,
        "model_flop_utilisation": operations / seconds / peak,
    }


def memory(pair: Pair, report: dict[str, Any], budget: int, longest: int) -> dict[str, float]:
    """Return the predicted peak of device memory, and the peak that torch allocated, in MiB."""
    models = [model_size_of(model) for model in (pair.original, pair.compressed)]
    load = ScoringLoad(
        device="cuda",
        threads=1,
        dtype_bytes=pair.compressed.head.weight.itemsize,
        batch_tokens=budget,
        part_rows=report["rows"],
        row_tokens=report["tokens"] / report["rows"],
        longest=longest,
    )
    pieces = predict_memory(models, load)
    # The driver holds the CUDA context; torch does not count it.
    predicted = sum(pieces.values()) - pieces["process"]
    return {"predicted_mib": predicted / MIB, "measured_mib": torch.cuda.max_memory_allocated() / MIB}


def model_size_of(model: Any) -> ModelSize:
    """Return the size of a model that exists in memory only."""
    config, weights = model.model.config, list(model.model.parameters())
    return ModelSize(
        parameters=sum(weight.numel() for weight in weights),
        stored_bytes=sum(weight.numel() * weight.itemsize for weight in weights),
        width=config.hidden_size,
        inner=config.intermediate_size,
        vocabulary=config.vocab_size,
        layers=config.num_hidden_layers,
    )
