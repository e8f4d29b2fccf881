"""Predicts the memory of a training step from a model's sizes, and chooses the tokens of a pass that fit; no torch.

A pass keeps the activations of every layer for the backward pass. On a CPU they are the largest part of the memory, and
a pass of many tokens is no faster than a few passes of several hundred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.engines.score.memory import MIB, ModelSize, saved_activations
from curate.schemas.defaults import OTHER_DEVICES, TRAINING_BATCH_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTIVATION_BYTES = 700 * MIB
"""Most that the activations of a default pass on a CPU may take by this prediction. The process grows by up to twice
as much, since the C library cannot reuse every block that is freed between them."""

LEAST_TOKENS = 256
"""Tokens of a default pass that are not gone below: matrix products of fewer rows are slower on every token."""

ADAPTER_WIDTHS, ADAPTER_INNER = 2, 1
"""Hidden states and feed-forward activations that the adapters of a layer keep besides: the inputs of their layers."""


def token_bytes(size: ModelSize, dtype_bytes: int = 4) -> int:
    """Return the bytes that one token keeps for the backward pass, over all layers, with an adapter on each."""
    adapters = size.layers * (ADAPTER_WIDTHS * size.width + ADAPTER_INNER * size.inner)
    return round(dtype_bytes * (saved_activations(size, dtype_bytes) + adapters))


def pass_tokens(size: ModelSize, device_type: str) -> int:
    """Return the default number of tokens of one forward and backward pass, padding included."""
    limit = TRAINING_BATCH_TOKENS.get(device_type, TRAINING_BATCH_TOKENS[OTHER_DEVICES])
    if device_type != "cpu":
        return limit
    return max(LEAST_TOKENS, min(limit, ACTIVATION_BYTES // max(1, token_bytes(size))))


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
