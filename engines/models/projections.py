"""Finds the decoder layers and their linear projections in a Hugging Face causal language model.

Embeddings, norms and the output head are not projections, so no pruning method can touch them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Projection:
    """One linear map of a decoder layer."""

    name: str
    """Path in the model: ``"model.layers.0.self_attn.q_proj"``."""
    layer: int
    """Index of the decoder layer, from 0."""
    module: nn.Module

    @property
    def matrix(self) -> torch.Tensor:
        """The weight as outputs × inputs, a view: writing to it changes the model. GPT-2 stores the transpose."""
        weight: torch.Tensor = self.module.weight.data  # type: ignore[assignment]
        return weight.T if isinstance(self.module, Conv1D) else weight


def decoder_layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Return the path and the list of the decoder layers.

    Raises
    ------
    InputError
        If no module list has as many entries as the configuration has layers.
    """
    # Architectures name the list differently (layers, h, blocks), but its length is always in the configuration.
    n_layers = model.config.get_text_config(decoder=True).num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and n_layers and len(module) == n_layers:
            return name, module
    raise InputError(
        f"model of type {model.config.model_type!r} ({type(model).__name__}) has no list of {n_layers} decoder layers "
        "to compress; give a decoder-only causal language model"
    )


def layer_projections(layer: nn.Module, prefix: str, index: int) -> list[Projection]:
    """Return the linear projections of one decoder layer, in the model's own order."""
    return [
        Projection(f"{prefix}.{path}", index, module)
        for path, module in layer.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    ]


def find_projections(model: PreTrainedModel) -> list[Projection]:
    """Return every linear projection of every decoder layer, in layer order; may be empty."""
    path, layers = decoder_layers(model)
    return [
        projection
        for index, layer in enumerate(layers)
        for projection in layer_projections(layer, f"{path}.{index}", index)
    ]


def prunable_projections(model: PreTrainedModel) -> list[Projection]:
    """Return every linear projection after checking that they cover the whole decoder.

    Raises
    ------
    InputError
        If there is none, if a weight is quantised or not finite, or if a layer has other matrices (fused experts),
        which would silently stay dense.
    """
    projections = find_projections(model)
    if not projections:
        raise InputError(f"the layers of model type {model.config.model_type!r} have no linear projection to prune")
    covered = {id(projection.module.weight) for projection in projections}
    path, layers = decoder_layers(model)
    for name, parameter in layers.named_parameters(prefix=path):
        if not parameter.is_floating_point():
            raise InputError(f"weight {name} is quantised ({parameter.dtype}); compress the unquantised model instead")
        # Norm weights and biases have one dimension and are never pruned.
        if parameter.ndim > 1 and id(parameter) not in covered:
            raise InputError(
                f"weight {name} of shape {tuple(parameter.shape)} is not an ordinary linear layer (a mixture of "
                "experts, for example) and would stay dense; use --method blocks for this model"
            )
        if not bool(torch.isfinite(parameter).all()):
            raise InputError(f"weight {name} holds NaN or infinite values; repair or download the model again")
    return projections
