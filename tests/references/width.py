"""Reference for MLP channels: whole forward passes in which channels are masked, and loops over single channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers

from references.compress import tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.engines.compress.width.channels import Channels

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
KINDS = ["sliding_attention", "full_attention", "sliding_attention"]
GPT2 = {"vocab_size": 31, "n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 64}
FALCON = {"vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4}
OPT = {"word_embed_proj_dim": 16, "ffn_dim": 24, **{k: v for k, v in SIZES.items() if "intermediate" not in k}}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**SIZES),
    "llama with biases": lambda: transformers.LlamaConfig(**SIZES, mlp_bias=True, tie_word_embeddings=True),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES),
    "gemma3": lambda: transformers.Gemma3TextConfig(**SIZES, head_dim=4, sliding_window=4, layer_types=KINDS),
    "phi3": lambda: transformers.Phi3Config(**SIZES),
    "gpt2": lambda: transformers.GPT2Config(**GPT2, bos_token_id=1, eos_token_id=2),
    "gpt-neox": lambda: transformers.GPTNeoXConfig(**SIZES),
    "gpt-j": lambda: transformers.GPTJConfig(**GPT2, rotary_dim=4, bos_token_id=1, eos_token_id=2),
    "starcoder2": lambda: transformers.Starcoder2Config(**SIZES),
    "falcon": lambda: transformers.FalconConfig(**FALCON, bos_token_id=1, eos_token_id=2),
    "nemotron": lambda: transformers.NemotronConfig(**SIZES, head_dim=4),
    "phi": lambda: transformers.PhiConfig(**{**SIZES, "num_key_value_heads": 4}),
    "glm": lambda: transformers.GlmConfig(**SIZES, head_dim=4),
    "opt": lambda: transformers.OPTConfig(**OPT),
}


def random_model(name: str, seed: int = 0) -> transformers.PreTrainedModel:
    """Return a random model whose biases are not zero."""
    model = tiny_model(CONFIGS[name](), seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias"):
                parameter.normal_(0.0, 0.2)
    return model


def token_rows() -> list[torch.Tensor]:
    """Return four rows of random token ids."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(3, 31, (1, length), generator=generator) for length in (5, 1, 17, 9)]


def activations_of(
    model: transformers.PreTrainedModel, channels: Sequence[Channels], rows: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Return the MLP activations of each layer over all tokens, shape (tokens, channels), from forward passes."""
    seen: list[list[torch.Tensor]] = [[] for _ in channels]
    hooks = [
        mlp.out.module.register_forward_pre_hook(lambda _, args, into=into: into.append(args[0].flatten(0, -2).clone()))
        for mlp, into in zip(channels, seen, strict=True)
    ]
    with torch.no_grad():
        for row in rows:
            model(row)
    for hook in hooks:
        hook.remove()
    return [torch.cat(parts) for parts in seen]


def masked_logits(
    model: transformers.PreTrainedModel,
    channels: Sequence[Channels],
    kept: Sequence[torch.Tensor],
    row: torch.Tensor,
) -> torch.Tensor:
    """Return the logits of the whole model in which all channels but `kept` are zero."""

    def masking(index: torch.Tensor) -> Callable[[Any, Any], Any]:
        def mask(_: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            keep = torch.zeros(args[0].shape[-1])
            keep[index] = 1
            return (args[0] * keep,)

        return mask

    hooks = [
        mlp.out.module.register_forward_pre_hook(masking(index)) for mlp, index in zip(channels, kept, strict=True)
    ]
    with torch.no_grad():
        result: torch.Tensor = model(row).logits
    for hook in hooks:
        hook.remove()
    return result
