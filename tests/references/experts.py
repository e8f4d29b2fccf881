"""Mixtures of experts of every known class, and loops over single tokens that count and weigh their experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers

from references.width import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.engines.models.expert_blocks import ExpertBlock

EXPERTS = {"num_experts_per_tok": 2}
JETMOE = {key: SIZES[key] for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")}
MIXTURES: dict[str, Callable[[], Any]] = {
    "mixtral": lambda: transformers.MixtralConfig(**SIZES, **EXPERTS, num_local_experts=6),
    "granite": lambda: transformers.GraniteMoeConfig(**SIZES, **EXPERTS, num_local_experts=6),
    "jetmoe": lambda: transformers.JetMoeConfig(
        **JETMOE, **EXPERTS, num_local_experts=6, num_key_value_heads=2, kv_channels=4, eos_token_id=2, pad_token_id=0
    ),
    "olmoe": lambda: transformers.OlmoeConfig(**SIZES, **EXPERTS, num_experts=6),
    "olmoe normalised": lambda: transformers.OlmoeConfig(**SIZES, **EXPERTS, num_experts=6, norm_topk_prob=True),
    "qwen2": lambda: transformers.Qwen2MoeConfig(
        **SIZES, **EXPERTS, num_experts=6, moe_intermediate_size=8, shared_expert_intermediate_size=12
    ),
    "qwen3": lambda: transformers.Qwen3MoeConfig(**SIZES, **EXPERTS, num_experts=6, moe_intermediate_size=8),
}


def expert_rows() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(3, 31, (1, length), generator=draw) for length in (12, 30, 21)]


def routed_tokens(model: Any, blocks: Sequence[ExpertBlock], row: torch.Tensor) -> list[list[dict[str, Any]]]:
    """Return for every block and token its hidden state, and the chosen experts with their gates, from one pass."""
    tokens: list[list[dict[str, Any]]] = [[] for _ in blocks]
    hooks = []
    for block, into in zip(blocks, tokens, strict=True):

        def route(
            _: Any,
            given: tuple[torch.Tensor, ...],
            returned: Any,
            block: ExpertBlock = block,
            into: list[dict[str, Any]] = into,
        ) -> None:
            logits = returned[-1] if "JetMoe" in type(block.router).__name__ else returned[0]
            states = given[0].reshape(-1, given[0].shape[-1])
            for state, token in zip(states, logits, strict=True):
                best = sorted(range(block.count), key=lambda e: -float(token[e]))[: block.top_k]
                among = token[best] if block.renormalised else token
                into.append({"state": state, "gates": {e: float(token[e].exp() / among.exp().sum()) for e in best}})

        hooks.append(block.router.register_forward_hook(route))
    with torch.no_grad():
        model(row)
    for hook in hooks:
        hook.remove()
    return tokens


def expert_output(block: ExpertBlock, expert: int, state: torch.Tensor) -> torch.Tensor:
    """Return what one expert computes for one token."""
    gate_up, down = block.expert_tensors()
    left, right = (gate_up[expert] @ state).chunk(2)
    return down[expert] @ (torch.nn.functional.silu(left) * right)
