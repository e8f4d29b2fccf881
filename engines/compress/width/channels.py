"""The channels of an MLP: which rows of which matrices make a channel, and how to keep or reorder them.

A layer computes y = W_d a with a = φ(W_g x) ∘ W_u x, or a = φ(W_u x) without a gate. Channel j is row j of W_g and W_u
and column j of W_d. For a permutation P of the channels, P W_g, P W_u and W_d Pᵀ are the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from curate.engines.compress.slices import take
from curate.engines.models.projections import Projection, prunable_projections
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

LAYOUTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("gate_proj", "up_proj"), "down_proj"),  # Llama, Mistral, Qwen, Gemma, OLMo, Cohere
    (("gate_up_proj",), "down_proj"),  # Phi-3, GLM: the gate's rows, then those of the other half
    (("c_fc",), "c_proj"),  # GPT-2, StarCoder2
    (("dense_h_to_4h",), "dense_4h_to_h"),  # GPT-NeoX, Falcon
    (("fc1",), "fc2"),  # OPT, Phi
    (("fc_in",), "fc_out"),  # GPT-J
    (("up_proj",), "down_proj"),  # Nemotron
)
"""Names of the projections into the channels, and of the one out of them."""

WIDTH_KEYS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
"""Configuration keys of the number of channels, by architecture."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The MLP of one decoder layer."""

    layer: int
    into: tuple[Projection, ...]
    """Projections whose outputs are channels."""
    out: Projection
    """The projection whose inputs are channels."""

    @property
    def count(self) -> int:
        """Number of channels."""
        return int(self.out.matrix.shape[1])

    def into_rows(self) -> torch.Tensor:
        """Return the weights into each channel, shape (channels, n), a copy: gate and up side by side."""
        rows = [projection.matrix.reshape(-1, self.count, projection.matrix.shape[1]) for projection in self.into]
        return torch.cat([block for projection in rows for block in projection], dim=1)

    def keep(self, order: torch.Tensor) -> None:
        """Keep the channels `order`, int64, in that order; all others are removed."""
        for projection in self.into:
            # A fused projection holds gate and up: rows j and count + j are one channel.
            halves = projection.matrix.shape[0] // self.count
            rows = torch.cat([order + half * self.count for half in range(halves)])
            take(projection.module, rows, of="outputs")
        take(self.out.module, order, of="inputs")


def mlp_channels(model: PreTrainedModel) -> list[Channels]:
    """Return the channels of every decoder layer.

    Raises
    ------
    InputError
        If a layer has no MLP of a known layout, or layers differ in their number of channels.
    """
    by_layer: dict[int, list[Projection]] = {}
    for projection in prunable_projections(model):
        by_layer.setdefault(projection.layer, []).append(projection)
    per_layer = [_channels(layer, projections) for layer, projections in by_layer.items()]
    if unknown := [layer for layer, channels in zip(by_layer, per_layer, strict=True) if channels is None]:
        raise InputError(
            f"the MLP of layer {unknown[0]} of a {model.config.model_type!r} model has a layout that --method width "
            "does not know; use --method blocks, wanda or magnitude"
        )
    known = [channels for channels in per_layer if channels is not None]
    if len({channels.count for channels in known}) > 1:
        raise InputError(
            f"layers of this {model.config.model_type!r} model differ in their number of channels; "
            "use --method blocks, wanda or magnitude"
        )
    return known


def _channels(layer: int, projections: Sequence[Projection]) -> Channels | None:
    """Return the channels of one layer; None if no layout fits, or two do."""
    for into_names, out_name in LAYOUTS:
        into = [p for p in projections if p.name.rpartition(".")[2] in into_names]
        out = [p for p in projections if p.name.rpartition(".")[2] == out_name]
        # c_proj is also the name of GPT-2's attention output: the MLP is the module that holds both ends.
        parents = {p.name.rpartition(".")[0] for p in into}
        out = [p for p in out if p.name.rpartition(".")[0] in parents]
        if len(into) != len(into_names) or len(out) != 1 or len(parents) != 1:
            continue
        width = out[0].matrix.shape[1]
        rows = {p.matrix.shape[0] for p in into}
        if rows == {2 * width if into_names == ("gate_up_proj",) else width}:
            return Channels(layer, tuple(into), out[0])
    return None


def write_width(model: PreTrainedModel, before: int, after: int) -> None:
    """Write the new number of channels into the configuration.

    Raises
    ------
    InputError
        If no key of the configuration holds the number of channels.
    """
    config = model.config.get_text_config(decoder=True)
    for key in WIDTH_KEYS:
        # GPT-2's n_inner is None for four times the hidden size.
        if hasattr(config, key) and getattr(config, key) in (before, None):
            setattr(config, key, after)
            return
    raise InputError(
        f"the configuration of a {model.config.model_type!r} model has no key for the width of its MLPs "
        f"({', '.join(WIDTH_KEYS)}), so a narrower one could not be loaded; use --method blocks, wanda or magnitude"
    )
