"""Predicts the peak memory of drawing samples, from a model's configuration and file headers; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.engines.score.memory import CUDA_CONTEXT_BYTES, INNER, PROCESS_BYTES, WIDTHS

if TYPE_CHECKING:
    from curate.engines.score.memory import ModelSize

BATCH_ROWS = 64
"""Samples that are drawn at once."""
LOGIT_BYTES = 4 + 5 * 8
"""Per row and entry of the vocabulary: the model's logits, and five arrays in float64 that a token is drawn with."""


@dataclass(frozen=True)
class SamplingLoad:
    """The settings and row counts that decide the memory of drawing."""

    device: str
    """Device type: ``"cpu"``, ``"cuda"``, …"""
    dtype_bytes: int | None
    """Bytes per weight as computed with; None as stored."""
    rows: int
    prompt_tokens: float
    """Of the prompts of the longest batch."""
    new_tokens: int
    """Longest answer."""


def predict_sampling_memory(model: ModelSize, load: SamplingLoad) -> dict[str, int]:
    """Return the bytes of each component at the peak: ``weights``, ``cache``, ``activations``, ``logits``, ``process``.

    The key-value cache of the longest batch is full when its last token is drawn; the activations of one layer are
    those of its prompts, before.
    """
    dtype_bytes = load.dtype_bytes or max(1, round(model.stored_bytes / model.parameters))
    batch = min(BATCH_ROWS, load.rows)
    cached = batch * (load.prompt_tokens + load.new_tokens) * 2 * model.layers * model.cache_width
    weights = model.parameters * load.dtype_bytes if load.dtype_bytes and not model.quantised else model.stored_bytes
    one_layer = WIDTHS * model.width + INNER * model.inner
    return {
        "weights": weights,
        "cache": int(cached * dtype_bytes),
        "activations": int(batch * load.prompt_tokens * one_layer * dtype_bytes),
        "logits": batch * model.vocabulary * LOGIT_BYTES,
        "process": PROCESS_BYTES if load.device == "cpu" else CUDA_CONTEXT_BYTES,
    }
