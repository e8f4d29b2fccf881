"""Groups of attention heads in every known layout: removing some is masking them, and unknown layouts are refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from references.compress import tiny_model
from references.width import GPT2, OPT, SIZES, random_model, token_rows

from curate.engines.compress.calibration import Calibrated
from curate.engines.compress.heads.groups import HeadGroups, head_groups
from curate.engines.compress.heads.removal import remove_heads
from curate.engines.models.projections import decoder_layers
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = token_rows()
ON_CPU = Calibrated(ROWS, torch.device("cpu"), torch.float32)
MANY: dict[str, Any] = {**SIZES, "hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 3}
KINDS = ["sliding_attention", "full_attention", "sliding_attention"]

CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**MANY, attention_bias=True),
    "one query head to a group": lambda: transformers.MistralConfig(**{**MANY, "num_key_value_heads": 6}),
    "explicit head_dim": lambda: transformers.MistralConfig(**MANY, head_dim=8),
    "qwen2": lambda: transformers.Qwen2Config(**MANY),
    "qwen3": lambda: transformers.Qwen3Config(**MANY, head_dim=4),
    "gemma3": lambda: transformers.Gemma3TextConfig(**MANY, head_dim=4, sliding_window=4, layer_types=KINDS),
    "phi": lambda: transformers.PhiConfig(**MANY),
    "phi3": lambda: transformers.Phi3Config(**MANY),
    "glm": lambda: transformers.GlmConfig(**MANY, head_dim=4, attention_bias=True),
    "starcoder2": lambda: transformers.Starcoder2Config(**MANY),
    "nemotron": lambda: transformers.NemotronConfig(**MANY, head_dim=4),
    "cohere": lambda: transformers.CohereConfig(**MANY, use_qk_norm=True),
    "granite": lambda: transformers.GraniteConfig(**MANY),
    "mixtral": lambda: transformers.MixtralConfig(**MANY, num_local_experts=4, num_experts_per_tok=2),
}


def masked_logits(model: Any, layers: Sequence[HeadGroups], removed: list[list[int]], row: torch.Tensor) -> Any:
    """Return the logits of the whole model in which the outputs of every query head of `removed` are zero."""

    def masking(layer: HeadGroups, groups: list[int]) -> Any:
        keep = torch.ones(layer.count * layer.queries, layer.width)
        for head in range(len(keep)):
            # The key-value head that a query head reads, as transformers' repeat_kv has it.
            if head // layer.queries in groups:
                keep[head] = 0
        return lambda _, args: (args[0] * keep.flatten(),)

    for layer, groups in zip(layers, removed, strict=True):
        layer.out.module.register_forward_pre_hook(masking(layer, groups))
    with torch.no_grad():
        return model(row).logits


def model_of(name: str) -> Any:
    model = tiny_model(CONFIGS[name]())
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            # Norms and biases that differ between heads, so that a wrong row shows.
            if parameter.ndim == 1 or "norm" in parameter_name:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.3)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_removing_groups_is_masking_them(name: str) -> None:
    model = model_of(name)
    whole = copy.deepcopy(model)
    report = remove_heads(model, ON_CPU, n_groups=1)
    expected = masked_logits(whole, head_groups(whole), report["groups_removed"], ROWS[2])
    torch.testing.assert_close(model(ROWS[2]).logits, expected, rtol=1e-5, atol=1e-5)
    config = model.config.get_text_config(decoder=True)
    assert (config.num_attention_heads, config.num_key_value_heads) == (
        report["heads_after"],
        report["key_value_heads_after"],
    )


def test_groups_are_numbered_as_repeated_keys_are() -> None:
    model = tiny_model(CONFIGS["llama"]())
    attentions: list[Any] = [layer.self_attn for layer in decoder_layers(model)[1]]
    kept = [torch.cat([one.v_proj.weight[:4], one.v_proj.weight[8:]]).clone() for one in attentions]
    for layer in head_groups(model):
        layer.keep(torch.tensor([0, 2]))
    for one, expected in zip(attentions, kept, strict=True):
        assert torch.equal(one.v_proj.weight, expected)
        assert one.q_proj.weight.shape[0] == one.o_proj.weight.shape[1] == 16


REFUSED = {
    "gpt2": lambda: transformers.GPT2Config(**GPT2, bos_token_id=1, eos_token_id=2),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SIZES),
    # Its norm spans all heads, so that the others would change.
    "olmo2": lambda: transformers.Olmo2Config(**MANY),
    # No configuration key for the width of a head.
    "opt": lambda: transformers.OPTConfig(**OPT),
}


@pytest.mark.parametrize("name", REFUSED)
def test_attention_that_cannot_lose_heads_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*(does not know|cannot be removed)"):
        remove_heads(tiny_model(REFUSED[name]()), ON_CPU, n_groups=1)


def test_layers_that_read_keys_of_other_layers_are_refused() -> None:
    model = random_model("llama")
    model.config.num_kv_shared_layers = 1
    with pytest.raises(InputError, match="layer 0 of a 'llama' model has a layout that --method heads does not know"):
        head_groups(model)
