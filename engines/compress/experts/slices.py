"""Slices the tensors of an expert block to some of its experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from curate.engines.models.expert_blocks import ExpertBlock

COUNT_KEYS = ("num_local_experts", "num_experts")
"""Configuration keys of the number of experts."""


def keep_experts(block: ExpertBlock, kept: torch.Tensor) -> None:
    """Keep the experts `kept`, int64, in that order; all others are removed, but for shared ones."""
    count = block.count
    of_router = {id(one) for one in block.router.parameters()}
    for owner in block.module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            per_expert = parameter.ndim == 3 or id(parameter) in of_router
            if per_expert and parameter.shape[0] == count:
                setattr(owner, name, nn.Parameter(parameter.data[kept].contiguous(), requires_grad=False))
        if getattr(owner, "num_experts", None) == count:
            owner.num_experts = len(kept)  # type: ignore[assignment]
    for owner in block.router.modules():
        if isinstance(owner, nn.Linear):
            owner.out_features = len(kept)


def write_count(model: PreTrainedModel, count: int) -> None:
    """Write the number of experts into the configuration."""
    config = model.config.get_text_config(decoder=True)
    # Some classes read one key through the other (attribute_map), so one assignment is enough.
    key = next(key for key in COUNT_KEYS if hasattr(config, key))
    setattr(config, key, count)
