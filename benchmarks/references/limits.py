"""What the hardware could do at most, and how far a measured run is from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.score.memory import MIB, ModelSize, predict

if TYPE_CHECKING:
    from curate.engines.models.loading import Pair


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Return the most operations per second that one product of square matrices reaches."""
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
    """Return tokens per second of the compiled form, and the share of the ceiling that its products make up.

    Operations: 2 × parameters × tokens of each model, the output layer on the supervised tokens only.
    """
    head, sides = pair.compressed.head.weight, [pair.compressed, *([pair.original] if pair.original else [])]
    inside = sum(weight.numel() for weight in pair.compressed.model.parameters()) - 2 * head.numel()
    operations = 2.0 * len(sides) * (inside * report["tokens"] + head.numel() * report["supervised"])
    seconds = report["medians"]["compiled"]
    most = ceiling(head.device, head.dtype)
    return {
        "tokens_per_second": report["tokens"] / seconds,
        "ceiling_teraflops": most / 1e12,
        "model_flop_utilisation": operations / seconds / most,
    }


def memory(pair: Pair, report: dict[str, Any], budget: int, longest: int) -> dict[str, float]:
    """Return the predicted peak of the device's memory beside the largest that torch held, in MiB."""
    models = [model_size_of(model) for model in (pair.original, pair.compressed)]
    pieces = predict(
        models,
        device="cuda",
        threads=1,
        number_bytes=pair.compressed.head.weight.itemsize,
        batch_tokens=budget,
        part_rows=report["rows"],
        row_tokens=report["tokens"] / report["rows"],
        longest=longest,
    )
    # The context is held by the driver, and not counted by torch.
    predicted = sum(pieces.values()) - pieces["process"]
    return {"predicted_mib": predicted / MIB, "measured_mib": torch.cuda.max_memory_allocated() / MIB}


def model_size_of(model: Any) -> ModelSize:
    """Return the size of a model that was never on disk."""
    config, weights = model.model.config, list(model.model.parameters())
    return ModelSize(
        parameters=sum(weight.numel() for weight in weights),
        stored_bytes=sum(weight.numel() * weight.itemsize for weight in weights),
        width=config.hidden_size,
        inner=config.intermediate_size,
        vocabulary=config.vocab_size,
        layers=config.num_hidden_layers,
    )
