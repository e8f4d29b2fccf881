"""Predicts the memory of a training from a model's sizes, and chooses the tokens of a pass that fit; no torch.

A pass keeps the activations of every layer for the backward pass. On a CPU they are the largest part of the memory, and
a pass of many tokens is no faster than a few passes of several hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.engines.score.memory import CUDA_CONTEXT_BYTES, MIB, PROCESS_BYTES, ModelSize, saved_activations
from curate.schemas.defaults import CHUNK_LOGITS, OTHER_DEVICES, TRAINING_BATCH_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

ACTIVATION_BYTES = 700 * MIB
"""Most that the activations of a default pass on a CPU may take by this prediction. The process grows by up to twice
as much, since the C library cannot reuse every block that is freed between them."""

LEAST_TOKENS = 256
"""Tokens of a default pass that are not gone below: matrix products of fewer rows are slower on every token."""

ADAPTER_WIDTHS, ADAPTER_INNER = 2, 1
"""Hidden states and feed-forward activations that the adapters of a layer keep besides: the inputs of their layers."""

FREED_BLOCKS = {"cpu": 2.0}
"""Memory of a process for each byte of activations; elsewhere 1."""

TRAINED_BYTES = 12
"""Bytes of a trained parameter besides itself: its gradient and AdamW's two moments, all float32."""

LOGIT_COPIES = 4
"""Copies of a chunk of logits: themselves, the original's, the log-probabilities, and the gradient."""


def token_bytes(size: ModelSize, dtype_bytes: int = 4) -> int:
    """Return the bytes that one token keeps for the backward pass, over all layers, with an adapter on each."""
    adapters = size.layers * (ADAPTER_WIDTHS * size.width + ADAPTER_INNER * size.inner)
    return round(dtype_bytes * (saved_activations(size, dtype_bytes) + adapters))


@dataclass(frozen=True)
class TrainingLoad:
    """The settings of a recovery that decide its memory, besides the sizes of the model."""

    device: str
    """Device type."""
    weight_bytes: int
    """Bytes of a weight as computed with."""
    method: str
    """``full`` trains all weights, the others a small part."""
    rank: int
    batch_tokens: int | None = None
    """Tokens of a pass; None for the default."""
    step_tokens: float = float("inf")
    """Tokens of all rows of a step, which a pass cannot exceed."""
    gradient_checkpointing: bool = False


def predict_training_memory(size: ModelSize, load: TrainingLoad) -> dict[str, int]:
    """Return the bytes of each component at the peak of a recovery.

    Returns
    -------
    dict of str to int
        ``weights``, ``trained`` (gradients and moments of what is trained, adapters included), ``activations``,
        ``logits`` and ``process``. The original's pass comes before, in the same process, and takes less.
    """
    tokens = min(load.batch_tokens or pass_tokens(size, load.device), load.step_tokens)
    kept = token_bytes(size, load.weight_bytes)
    if load.gradient_checkpointing:  # the input of every layer, and the activations of the one that is recomputed
        kept = kept // max(1, size.layers) + load.weight_bytes * size.layers * size.width
    whole = load.method == "full"
    adapters = 0 if whole else adapter_parameters(size, load.rank)
    trained = size.parameters if whole else adapters
    chunk = CHUNK_LOGITS.get(load.device, CHUNK_LOGITS[OTHER_DEVICES])
    return {
        "weights": size.parameters * (4 if whole else load.weight_bytes),
        "trained": 4 * adapters + TRAINED_BYTES * trained,
        "activations": round(tokens * kept * FREED_BLOCKS.get(load.device, 1.0)),
        "logits": LOGIT_COPIES * 4 * min(chunk, round(tokens * size.vocabulary)),
        "process": PROCESS_BYTES if load.device == "cpu" else CUDA_CONTEXT_BYTES,
    }


def adapter_parameters(size: ModelSize, rank: int) -> int:
    """Return at most how many parameters low-rank adapters of the attention and the feed-forward layers have."""
    attention, feed_forward = 4 * 2 * size.width, 3 * (size.width + size.inner)
    return size.layers * rank * (attention + feed_forward)


def pass_tokens(size: ModelSize, device_type: str) -> int:
    """Return the default number of tokens of one forward and backward pass, padding included."""
    limit = TRAINING_BATCH_TOKENS.get(device_type, TRAINING_BATCH_TOKENS[OTHER_DEVICES])
    if device_type != "cpu":
        return limit
    return max(LEAST_TOKENS, min(limit, ACTIVATION_BYTES // max(1, token_bytes(size))))


def size_of(model: PreTrainedModel) -> ModelSize:
    """Return the sizes of a loaded model that activations depend on; the others are 0."""
    return layer_sizes(model.config.get_text_config().to_dict())


def layer_sizes(config: Mapping[str, object]) -> ModelSize:
    """Return the sizes of a configuration that activations depend on; the others are 0."""

    def first(*names: str) -> int:
        return next((int(str(config[name])) for name in names if config.get(name)), 0)

    width = first("hidden_size", "n_embd", "d_model")
    return ModelSize(
        parameters=0,
        stored_bytes=0,
        width=width,
        inner=first("intermediate_size", "n_inner", "ffn_dim") or 4 * width,
        vocabulary=first("vocab_size"),
        layers=first("num_hidden_layers", "n_layer"),
    )
