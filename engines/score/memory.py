"""What scoring will hold in memory, told from configurations and file headers alone: no torch, no weights are read.

Counts what is alive at the moment of the peak: the weights of every model, and for each batch computed at a time one
layer's activations, the final states, and one chunk of logits per model. Also the one place of the sizes that decide
it. Knows nothing of rows.
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

BATCH_TOKENS = {"cpu": 4096}
BATCH_TOKENS_OTHER = 32768

EVERY_LAYER_SHARE = 8
"""Part of the batch that ``--layers all`` takes by default: every layer's activations wait for the way back."""

CHUNK_TOKENS = 512
"""Supervised tokens whose logits are held at a time, per model and batch."""

WORKER_LOGITS = 1 << 26
"""Logits per model, over all threads, below which every CPU thread computes a batch of its own (256 MiB)."""

BLOCK_ELEMENTS = {"cpu": 1 << 18}
"""Numbers that one elementwise step works on: on a CPU about what the cache holds (1 MiB)."""

BLOCK_ELEMENTS_OTHER = 1 << 26

COMPILED_FROM = 8192
"""Vocabulary from which the arithmetic over it is compiled: below, a run is over before compiling has paid."""

PROCESS_BYTES = 470 * MIB
"""Python with torch, transformers and Arrow, before any model (measured, Linux)."""

COMPILER_BYTES = 140 * MIB
"""What torch's compiler adds to the process."""

CUDA_CONTEXT_BYTES = 500 * MIB

ROW_BYTES = 3000
"""Of one row of the part in work beside its text and tokens: Python objects and Arrow's copy."""

WIDTHS, INNER = 8, 3
"""Copies of a token's state, and of its inner activations, alive inside one layer."""

KEPT_WIDTHS, KEPT_INNER = 12, 4
"""The same for a layer whose activations wait for a backward pass: what autograd keeps, and each linear layer's inputs
and outputs (counted, Llama in float32)."""

NORM_WIDTHS = 2
"""Of ``KEPT_WIDTHS``, those that stay in float32 whatever the number format: the inputs of the norms."""

EAGER_COPIES = 6
"""Blocks of logits alive inside one step of the arithmetic."""

STORED = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
          "F8_E4M3": 1, "F8_E5M2": 1}  # fmt: skip


@dataclass(frozen=True)
class ModelSize:
    """What of a model decides its memory."""

    parameters: int
    stored_bytes: int
    """Of its weight files."""
    width: int
    """Numbers of one token's state."""
    inner: int
    """Numbers of one token inside a layer's feed-forward half."""
    vocabulary: int
    layers: int
    quantised: bool = False
    """Whether the weights stay as they are stored, whatever the number format asked for."""


def model_size(name: str) -> ModelSize:
    """Return the size of a model folder or cached hub name; an adapter counts as its base.

    Raises
    ------
    InputError
        When the folder cannot be used.
    """
    folder = resolve_model(name)
    if is_adapter(folder):
        return model_size(adapter_base(folder))
    weights = [path for path in model_files(name) if path.suffix == ".safetensors"]
    tensors = [tensor for path in weights for tensor in _tensors(path)]
    whole = json.loads((folder / "config.json").read_text("utf-8"))
    config = whole.get("text_config") or whole
    width = _first(config, "hidden_size", "n_embd", "d_model")
    return ModelSize(
        parameters=sum(numbers for numbers, _ in tensors),
        stored_bytes=sum(numbers * STORED.get(kind, 1) for numbers, kind in tensors),
        width=width,
        inner=_first(config, "intermediate_size", "n_inner", "ffn_dim") or 4 * width,
        vocabulary=_first(config, "vocab_size"),
        layers=_first(config, "num_hidden_layers", "n_layer"),
        quantised=quantisation(folder) is not None,
    )


def _first(config: dict[str, Any], *names: str) -> int:
    return next((int(config[name]) for name in names if config.get(name)), 0)


def _tensors(path: Path) -> list[tuple[int, str]]:
    """Return the numbers and the number format of every tensor of a safetensors file; the weights are not read."""
    with safe_open(path, framework="np") as file:
        slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118  (not a dict)
    return [(prod(piece.get_shape()), str(piece.get_dtype())) for piece in slices]


def batches_at_once(device: str, threads: int, chunk_tokens: int, vocabulary: int) -> int:
    """Return how many batches to compute at once: one per CPU thread while all their logits together stay small."""
    many = threads if device == "cpu" else 1
    return many if many * chunk_tokens * vocabulary <= WORKER_LOGITS else 1


def predict(
    models: Sequence[ModelSize],
    *,
    device: str,
    threads: int,
    number_bytes: int | None,
    batch_tokens: int | None,
    part_rows: int,
    row_tokens: float,
    longest: int,
    sequential: bool = False,
    every_layer: bool = False,
) -> dict[str, int]:
    """Return the bytes of each piece at the peak of scoring.

    Parameters
    ----------
    models : sequence of ModelSize
        The original first where there are two.
    device : str
        Kind of device: ``"cpu"``, ``"cuda"``, …
    threads : int
        CPU threads.
    number_bytes : int or None
        Of one weight as computed with; None as stored.
    batch_tokens : int or None
        As in the settings.
    part_rows : int
        Rows of the largest part.
    row_tokens : float
        Mean tokens of a row, or a guess.
    longest : int
        Longest sequence in tokens.
    sequential : bool
        Whether one model is in memory at a time.
    every_layer : bool
        Whether the last model's activations wait for a backward pass.

    Returns
    -------
    dict of str to int
        ``weights``, ``activations``, ``logits``, ``rows`` and ``process``, in bytes; on a GPU ``rows`` stay outside.
    """
    on_cpu = device == "cpu"
    vocabulary = max(model.vocabulary for model in models)
    sizes = [
        model.parameters * number_bytes if number_bytes and not model.quantised else model.stored_bytes
        for model in models
    ]
    held = sum(sizes)
    if sequential and len(models) == 2:  # the original's output layer stays when the original is gone
        held = max(sizes[0], sizes[1] + models[0].vocabulary * models[0].width * (number_bytes or 4))
    workers = batches_at_once(device, threads, CHUNK_TOKENS, vocabulary)
    share = EVERY_LAYER_SHARE if every_layer else 1
    budget = batch_tokens or BATCH_TOKENS.get(device, BATCH_TOKENS_OTHER) // share
    tokens = min(max(budget, longest), part_rows * row_tokens / workers)
    number = number_bytes or max(1, round(max(model.stored_bytes / model.parameters for model in models)))
    one_layer = [WIDTHS * model.width + INNER * model.inner for model in models]
    # On the way back one layer's gradients are alive beside what waits in all of them.
    inside = kept_numbers(models[-1], number) + one_layer[-1] if every_layer else max(one_layer)
    states = sum(2 * model.width for model in models)
    chunk = min(CHUNK_TOKENS, tokens) * vocabulary
    block = min(chunk, BLOCK_ELEMENTS.get(device, BLOCK_ELEMENTS_OTHER))
    # A product in 16 bits is copied to 32 before anything is reduced.
    copied = 0 if number == 4 else number
    logits = chunk * (4 * len(models) + copied) + EAGER_COPIES * 4 * block
    process = PROCESS_BYTES + (COMPILER_BYTES if vocabulary >= COMPILED_FROM else 0)
    return {
        "weights": held,
        "activations": int(workers * tokens * number * (inside + states)),
        "logits": int(workers * logits),
        "rows": int(part_rows * (ROW_BYTES + 20 * row_tokens)) if on_cpu else 0,
        "process": process if on_cpu else CUDA_CONTEXT_BYTES,
    }


def kept_numbers(model: ModelSize, number_bytes: int) -> int:
    """Return how many numbers of `number_bytes` wait for a backward pass of each token, over all layers."""
    widths = KEPT_WIDTHS - NORM_WIDTHS + NORM_WIDTHS * 4 // number_bytes
    return model.layers * (widths * model.width + KEPT_INNER * model.inner)


def shared_peak(pieces: dict[str, int], workers: int, device: str) -> int:
    """Return the bytes at the peak of one device that scores with `workers`, from the pieces of one of them.

    Workers on a CPU share its memory with the process that started them and writes what they find; those on GPUs have
    a device each.
    """
    whole = sum(pieces.values())
    return whole if workers == 1 or device != "cpu" else workers * whole + PROCESS_BYTES
