"""The expert blocks of a mixture-of-experts model: each router and its experts.

Routers differ in what they return and in whether the gates of the chosen experts are renormalised to 1; both are stated
here for each class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.engines.models.projections import decoder_layers
from curate.schemas.errors import GateError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import nn
    from transformers import PreTrainedModel

ROUTERS = {
    "MixtralTopKRouter": True,
    "GraniteMoeTopKRouter": True,
    "JetMoeTopKGating": True,
    "OlmoeTopKRouter": None,
    "Qwen2MoeTopKRouter": None,
    "Qwen3MoeTopKRouter": None,
}
"""Router classes, and whether the gates of the chosen experts add up to 1; None: as its ``norm_topk_prob`` says."""

_ROUTER = re.compile(r"Router|Gating|MoEGate")
_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")
"""Configuration keys of the number of experts, of known and unknown architectures."""


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

    @property
    def shared(self) -> bool:
        """Whether an expert that every token uses, whatever the router chose, is beside the routed ones."""
        return hasattr(self.module, "shared_expert")

    @property
    def experts(self) -> nn.Module | None:
        """The module that runs experts on given tokens; None where they cannot be run without the router (JetMoE)."""
        return getattr(self.module, "experts", None)

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


def expert_blocks(model: PreTrainedModel) -> list[ExpertBlock]:
    """Return every expert block, by layer.

    Raises
    ------
    GateError
        If the model is dense.
    InputError
        If a router is of an unknown class.
    """
    _, layers = decoder_layers(model)
    if unknown := _unknown_routers(layers):
        raise InputError(
            f"the router of model type {model.config.model_type!r} is of class {', '.join(unknown)}; known are "
            f"{', '.join(sorted(ROUTERS))}: give a model with one of those"
        )
    blocks = [block for index, layer in enumerate(layers) for block in layer_blocks(layer, index)]
    if blocks:
        return blocks
    config = model.config.get_text_config(decoder=True)
    if any(getattr(config, key, None) for key in _COUNTS):
        raise InputError(
            f"model type {model.config.model_type!r} has experts whose router is no module of its own; known routers "
            f"are {', '.join(sorted(ROUTERS))}: give a model with one of those"
        )
    raise GateError(
        f"model type {model.config.model_type!r} is dense, it has no experts; use curate diagnose layers, or "
        "curate compress --method blocks, width, wanda or magnitude"
    )


def layer_blocks(layer: nn.Module, index: int) -> list[ExpertBlock]:
    """Return the expert blocks of one decoder layer, in its own order."""
    blocks = []
    for path, module in layer.named_modules():
        if type(module).__name__ in ROUTERS:
            name = path.rpartition(".")[0]
            blocks.append(ExpertBlock(index, name, layer.get_submodule(name), module))
    return blocks


def _unknown_routers(layers: Iterable[nn.Module]) -> list[str]:
    classes = {type(module).__name__ for layer in layers for module in layer.modules()}
    return sorted(name for name in classes if _ROUTER.search(name) and name not in ROUTERS)
