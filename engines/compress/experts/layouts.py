"""The expert blocks of a mixture-of-experts model: router, expert tensors, and how to keep some of the experts.

Routers differ in what they return and in whether the gates of the chosen experts are renormalised to 1; both are stated
here for each class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from curate.engines.models.projections import decoder_layers
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROUTERS = {
    "MixtralTopKRouter": True,
    "GraniteMoeTopKRouter": True,
    "JetMoeTopKGating": True,
    "OlmoeTopKRouter": None,
    "Qwen3MoeTopKRouter": None,
}
"""Router classes, and whether the gates of the chosen experts add up to 1; None: as its ``norm_topk_prob`` says."""

COUNT_KEYS = ("num_local_experts", "num_experts")
"""Configuration keys of the number of experts."""


@dataclass(frozen=True, slots=True)
class ExpertBlock:
    """One router with its experts."""

    layer: int
    name: str
    """Path inside the decoder layer: ``"mlp"``; JetMoE also has ``"self_attention.experts"``."""
    module: nn.Module
    router: nn.Module

    @property
    def count(self) -> int:
        """Number of experts."""
        return int(self.router.num_experts)  # type: ignore[arg-type]

    @property
    def top_k(self) -> int:
        """Experts chosen for each token."""
        return int(self.router.top_k)  # type: ignore[arg-type]

    @property
    def renormalised(self) -> bool:
        """Whether the gates of a token's chosen experts add up to 1."""
        stated = ROUTERS[type(self.router).__name__]
        return bool(self.router.norm_topk_prob) if stated is None else stated

    def expert_tensors(self) -> list[nn.Parameter]:
        """Return the parameters that hold one matrix per expert, the output matrices last."""
        tensors = [one for one in self.module.parameters() if one.ndim == 3 and one.shape[0] == self.count]
        names = {id(one): name for name, one in self.module.named_parameters()}
        return sorted(tensors, key=lambda one: "down" in names[id(one)] or "output" in names[id(one)])

    def choices(self, returned: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what a router chose: logits (tokens, experts), gates and experts (tokens, top_k)."""
        if type(self.router).__name__ == "JetMoeTopKGating":
            logits = returned[-1]
            chosen = logits.topk(self.top_k, dim=-1)
            return logits, chosen.values.softmax(-1), chosen.indices
        logits, gates, experts = returned
        return logits, gates, experts

    def keep(self, kept: torch.Tensor) -> None:
        """Keep the experts `kept`, int64, in that order; all others are removed."""
        count = self.count
        of_router = {id(one) for one in self.router.parameters()}
        for owner in self.module.modules():
            for name, parameter in list(owner.named_parameters(recurse=False)):
                per_expert = parameter.ndim == 3 or id(parameter) in of_router
                if per_expert and parameter.shape[0] == count:
                    setattr(owner, name, nn.Parameter(parameter.data[kept].contiguous(), requires_grad=False))
            if getattr(owner, "num_experts", None) == count:
                owner.num_experts = len(kept)  # type: ignore[assignment]
            if isinstance(owner, nn.Linear) and owner.out_features == count:
                owner.out_features = len(kept)


def expert_blocks(model: PreTrainedModel) -> list[ExpertBlock]:
    """Return every expert block, by layer.

    Raises
    ------
    InputError
        If there is none, a router is of an unknown class, or blocks differ in their number of experts.
    """
    _, layers = decoder_layers(model)
    blocks = [block for index, layer in enumerate(layers) for block in layer_blocks(layer, index)]
    if not blocks:
        raise InputError(
            f"model type {model.config.model_type!r} has no experts with a router of a known class "
            f"({', '.join(sorted(ROUTERS))}); use --method blocks, width, wanda or magnitude"
        )
    if len({block.count for block in blocks}) > 1:
        raise InputError("layers of this model differ in their number of experts; experts cannot be removed from it")
    return blocks


def layer_blocks(layer: nn.Module, index: int) -> list[ExpertBlock]:
    """Return the expert blocks of one decoder layer, in its own order."""
    blocks = []
    for path, module in layer.named_modules():
        if type(module).__name__ in ROUTERS:
            name = path.rpartition(".")[0]
            blocks.append(ExpertBlock(index, name, layer.get_submodule(name), module))
    return blocks


def write_count(model: PreTrainedModel, count: int) -> None:
    """Write the number of experts into the configuration."""
    config = model.config.get_text_config(decoder=True)
    # Some classes read one key through the other (attribute_map), so one assignment is enough.
    key = next(key for key in COUNT_KEYS if hasattr(config, key))
    setattr(config, key, count)
