"""Sizes in the configurations of a model and of its original: layers, channels, heads, experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
SIZES = {
    "channels": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "heads": ("num_attention_heads", "n_head"),
    "experts": ("num_local_experts", "num_experts"),
}
"""Configuration keys of each size, by architecture."""


@dataclass(frozen=True, slots=True)
class SmallerSize:
    """A size that a model has less of than its original."""

    name: str
    """A key of `SIZES`."""
    now: int
    before: int


def layers_of(config: Mapping[str, Any]) -> int | None:
    """Return the number of decoder layers in a configuration, None if it has none."""
    return _size(config, LAYERS)


def smaller_sizes(config: Mapping[str, Any], original: Mapping[str, Any]) -> tuple[SmallerSize, ...]:
    """Return the sizes of `SIZES` that are smaller than in the original's configuration."""
    smaller = []
    for name, keys in SIZES.items():
        now, before = _size(config, keys), _size(original, keys)
        if now is not None and before is not None and now < before:
            smaller.append(SmallerSize(name, now, before))
    return tuple(smaller)


def _size(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    for section in (config, config.get("text_config") or {}):
        for key in keys:
            if isinstance(section.get(key), int):
                return int(section[key])
        # GPT-2 writes no number where the channels are four times its width.
        if "n_inner" in keys and "n_embd" in section:
            return 4 * int(section["n_embd"])
    return None
