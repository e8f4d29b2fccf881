"""Predicts the peak memory of scoring from model configurations and file headers; imports no torch, reads no weights.

The prediction sums what is alive at the peak: the weights of every model and, for each concurrent batch, the
activations of one layer, the final hidden states and one chunk of logits per model. The module also defines the sizes
that decide it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from curate.engines.models.checkpoints import adapter_base, is_adapter, model_files, resolve_model
from curate.engines.models.quantised import quantisation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MIB = 1 << 20

CHUNK_TOKENS = 512
"""Supervised tokens whose logits are in memory at once, per model and batch."""

MAX_CONCURRENT_LOGITS = 1 << 26
"""Logits per model, over all threads, up to which every CPU thread computes a batch of its own (256 MiB)."""

BLOCK_ELEMENTS = {"cpu": 1 << 18}
"""Elements per elementwise step: on a CPU about what the cache holds (1 MiB)."""

BLOCK_ELEMENTS_OTHER = 1 << 26

MIN_COMPILED_VOCABULARY = 8192
"""Smallest vocabulary for which the arithmetic is compiled; below it, a run ends before compilation has paid off."""

PROCESS_BYTES = 470 * MIB
"""Python with torch, transformers and Arrow, before any model (measured, Linux)."""

COMPILER_BYTES = 140 * MIB
"""What torch's compiler adds to the process."""

CUDA_CONTEXT_BYTES = 500 * MIB

ROW_BYTES = 3000
"""Per row of the current part, besides its text and tokens: Python objects and Arrow's copy."""

WIDTHS, INNER = 8, 3
"""Copies of a token's hidden state, and of its feed-forward activations, alive inside one layer."""

SAVED_WIDTHS, SAVED_INNER = 12, 4
"""The same per layer for a backward pass: what autograd saves, and each linear layer's inputs and outputs (counted,
Llama in float32)."""

NORM_WIDTHS = 2
"""Of ``SAVED_WIDTHS``, those that stay in float32 in every dtype: the inputs of the norms."""

EAGER_COPIES = 6
"""Blocks of logits alive inside one step of the arithmetic."""

STORED = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
          "F8_E4M3": 1, "F8_E5M2": 1}  # fmt: skip
"""Bytes per element of the dtypes of safetensors."""


@dataclass(frozen=True)
class ModelSize:
    """The properties of a model that decide its memory."""

    parameters: int
    stored_bytes: int
    """Of its weight files."""
    width: int
    """Length of a token's hidden state."""
    inner: int
    """Length of a token's feed-forward activations."""
    vocabulary: int
    layers: int
    quantised: bool = False
    """Whether the weights keep their stored dtype, whatever dtype is requested."""
    cache_width: int = 0
    """Length of a token's keys in one layer; its values are as long."""


@dataclass(frozen=True)
class ScoringLoad:
    """The settings and row counts of a scoring run that decide its memory."""

    device: str
    """Device type: ``"cpu"``, ``"cuda"``, …"""
    threads: int
    """CPU threads of the process."""
    dtype_bytes: int | None
    """Bytes per weight as computed with; None as stored."""
    batch_tokens: int
    """Tokens per batch, padding included."""
    part_rows: int
    """Rows of the largest part."""
    row_tokens: float
    """Mean tokens per row, or an estimate of it."""
    longest: int
    """Longest sequence in tokens."""
    sequential: bool = False
    """Whether only one model is in memory at a time."""
    all_layers: bool = False
    """Whether the last model keeps its activations for a backward pass."""


def model_size(name: str) -> ModelSize:
    """Return the size of a model folder or cached hub name; an adapter counts as its base.

    Raises
    ------
    InputError
        If the folder cannot be used.
    """
    folder = resolve_model(name)
    if is_adapter(folder):
        return model_size(adapter_base(folder))
    weights = [path for path in model_files(name) if path.suffix == ".safetensors"]
    tensors = [tensor for path in weights for tensor in _tensors(path)]
    full_config = json.loads((folder / "config.json").read_text("utf-8"))
    config = full_config.get("text_config") or full_config
    width = _first(config, "hidden_size", "n_embd", "d_model")
    return ModelSize(
        parameters=sum(elements for elements, _ in tensors),
        stored_bytes=sum(elements * STORED.get(dtype, 1) for elements, dtype in tensors),
        width=width,
        inner=_first(config, "intermediate_size", "n_inner", "ffn_dim") or 4 * width,
        vocabulary=_first(config, "vocab_size"),
        layers=_first(config, "num_hidden_layers", "n_layer"),
        quantised=quantisation(folder) is not None,
        cache_width=_key_heads(config) * (_first(config, "head_dim") or width // max(1, _heads(config))),
    )


def _heads(config: dict[str, Any]) -> int:
    return _first(config, "num_attention_heads", "n_head")


def _key_heads(config: dict[str, Any]) -> int:
    return _first(config, "num_key_value_heads") or _heads(config)


def _first(config: dict[str, Any], *names: str) -> int:
    return next((int(config[name]) for name in names if config.get(name)), 0)


def _tensors(path: Path) -> list[tuple[int, str]]:
    """Return the number of elements and the dtype of every tensor of a safetensors file, from its header."""
    with safe_open(path, framework="np") as file:
        slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118  (not a dict)
    return [(prod(piece.get_shape()), str(piece.get_dtype())) for piece in slices]


def concurrent_batches(device: str, threads: int, chunk_tokens: int, vocabulary: int) -> int:
    """Return how many batches to compute concurrently: one per CPU thread while all their logits stay small."""
    count = threads if device == "cpu" else 1
    return count if count * chunk_tokens * vocabulary <= MAX_CONCURRENT_LOGITS else 1


def predict_memory(models: Sequence[ModelSize], load: ScoringLoad) -> dict[str, int]:
    """Return the bytes of each component at the peak of scoring.

    Parameters
    ----------
    models : sequence of ModelSize
        The original first if there are two.
    load : ScoringLoad

    Returns
    -------
    dict of str to int
        ``weights``, ``activations``, ``logits``, ``rows`` and ``process``, in bytes; on a GPU ``rows`` is 0, because
        they stay in host memory.
    """
    on_cpu = load.device == "cpu"
    vocabulary = max(model.vocabulary for model in models)
    workers = concurrent_batches(load.device, load.threads, CHUNK_TOKENS, vocabulary)
    # A batch can neither be shorter than the longest row nor hold more than its share of the part.
    tokens = min(max(load.batch_tokens, load.longest), load.part_rows * load.row_tokens / workers)
    stored_bytes = max(1, round(max(model.stored_bytes / model.parameters for model in models)))
    dtype_bytes = load.dtype_bytes or stored_bytes
    chunk = min(CHUNK_TOKENS, tokens) * vocabulary
    block = min(chunk, BLOCK_ELEMENTS.get(load.device, BLOCK_ELEMENTS_OTHER))
    # A 16-bit matrix product is copied to float32 before anything is reduced.
    copied = 0 if dtype_bytes == 4 else dtype_bytes
    logits = chunk * (4 * len(models) + copied) + EAGER_COPIES * 4 * block
    # On a GPU the process is in host memory; its context is on the device.
    process = PROCESS_BYTES + (COMPILER_BYTES if vocabulary >= MIN_COMPILED_VOCABULARY else 0)
    return {
        "weights": _weight_bytes(models, load),
        "activations": int(workers * tokens * dtype_bytes * _activations(models, dtype_bytes, load.all_layers)),
        "logits": int(workers * logits),
        "rows": int(load.part_rows * (ROW_BYTES + 20 * load.row_tokens)) if on_cpu else 0,
        "process": process if on_cpu else CUDA_CONTEXT_BYTES,
    }


def _weight_bytes(models: Sequence[ModelSize], load: ScoringLoad) -> int:
    """Return the bytes of the weights that are in memory at once."""
    sizes = [
        model.parameters * load.dtype_bytes if load.dtype_bytes and not model.quantised else model.stored_bytes
        for model in models
    ]
    if load.sequential and len(models) == 2:
        # The original's output head stays in memory: it turns the cached states into logits.
        head = models[0].vocabulary * models[0].width * (load.dtype_bytes or 4)
        return max(sizes[0], sizes[1] + head)
    return sum(sizes)


def _activations(models: Sequence[ModelSize], dtype_bytes: int, all_layers: bool) -> int:
    """Return the activations of one token at the peak, in elements of `dtype_bytes`."""
    one_layer = [WIDTHS * model.width + INNER * model.inner for model in models]
    final_states = sum(2 * model.width for model in models)
    if not all_layers:
        return max(one_layer) + final_states
    # During the backward pass one layer's gradients are alive besides the saved activations of all layers.
    return saved_activations(models[-1], dtype_bytes) + one_layer[-1] + final_states


def saved_activations(model: ModelSize, dtype_bytes: int) -> int:
    """Return the elements of `dtype_bytes` that one token keeps for a backward pass, over all layers."""
    widths = SAVED_WIDTHS - NORM_WIDTHS + NORM_WIDTHS * 4 // dtype_bytes
    return model.layers * (widths * model.width + SAVED_INNER * model.inner)


def device_peak(pieces: dict[str, int], workers: int, device: str) -> int:
    """Return the peak bytes of one device that scores with `workers` processes.

    Worker processes on a CPU share its memory with the process that starts them and writes their results. Those on
    GPUs have a device each.

    Parameters
    ----------
    pieces : dict of str to int
        From `predict_memory`, for one worker.
    workers : int
    device : str
        Device type.
    """
    total = sum(pieces.values())
    return total if workers == 1 or device != "cpu" else workers * total + PROCESS_BYTES
