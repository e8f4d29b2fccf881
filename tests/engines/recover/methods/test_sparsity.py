"""A weight that embeddings and output head share, with zeros in it: every method keeps them, whatever its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import tiny_model
from transformers import Gemma3TextConfig, GPT2Config, LlamaConfig, Qwen2Config

from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.methods.merging import merge
from curate.engines.recover.methods.sparsity import nonzero_masks, restore_nonzeros, share_of_zeros, verify_zeros
from curate.schemas.errors import GateError
from curate.schemas.recovery import RecoveryMethod, RecoveryRequest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IDS = torch.tensor([[1, 4, 7, 9, 12, 2, 8, 3]])
SIZES = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "tie_word_embeddings": True,
}  # fmt: skip
SHAPES: dict[str, Any] = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=8),
    "gpt2": GPT2Config(vocab_size=40, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2),
}
KEEPING: list[RecoveryMethod] = ["mask_lora", "scale_lora", "perp", "full"]


def pruned(shape: str) -> PreTrainedModel:
    """Return a model with half its layers' weights zero, eight padded rows of embeddings, and single zeros in others.

    As a padded vocabulary and dequantised weights have them.
    """
    model = tiny_model(SHAPES[shape])
    prune_magnitude(model, sparsity=0.5)
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings[32:] = 0.0
        embeddings[IDS[0], 3] = 0.0
    assert model.get_output_embeddings().weight is embeddings
    return model


@pytest.mark.parametrize("method", KEEPING)
@pytest.mark.parametrize("shape", SHAPES)
def test_training_keeps_the_zeros_of_a_shared_weight(shape: str, method: RecoveryMethod) -> None:
    model = pruned(shape)
    masks, sparsity = nonzero_masks(model), share_of_zeros(model)
    before = model.get_input_embeddings().weight.detach().clone()
    assert masks.keys() <= dict(model.named_parameters()).keys()
    adaptation = attach(model, method, RecoveryRequest(rank=2))
    optimiser = torch.optim.AdamW(adaptation.trainable.values(), lr=3e-2, weight_decay=0.0)
    for _ in range(3):
        logits = model(IDS, use_cache=False).logits[0]
        torch.nn.functional.cross_entropy(logits[:-1], IDS[0, 1:]).backward()
        optimiser.step()
        optimiser.zero_grad()
    merge(adaptation, masks, torch.bfloat16)
    after = model.get_input_embeddings().weight
    assert torch.equal(after == 0, before == 0)
    assert torch.equal(after.float(), before.bfloat16().float()) == (method in ("mask_lora", "scale_lora"))
    assert model.get_output_embeddings().weight is after
    assert share_of_zeros(model) == sparsity == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_lost_entry_of_a_shared_weight_is_restored(shape: str) -> None:
    model = pruned(shape)
    masks = nonzero_masks(model)
    weight = model.get_output_embeddings().weight
    with torch.no_grad():
        weight[2, 5] = 1e-12  # zero in float16
    model.half()
    with pytest.raises(GateError, match="0 filled and 1 new"):
        verify_zeros(model, masks)
    restore_nonzeros(model, masks)
    verify_zeros(model, masks)
    assert model.get_input_embeddings().weight[2, 5] == torch.finfo(torch.float16).tiny


def test_a_weight_that_two_layers_share_is_counted_once() -> None:
    model = tiny_model(SHAPES["llama"])
    first, second = (layer.mlp for layer in model.model.layers)
    second.up_proj.weight = first.up_proj.weight
    with torch.no_grad():
        first.up_proj.weight[:, :4] = 0.0
    linear = {id(w): w for name, w in model.named_parameters() if "proj" in name}
    assert share_of_zeros(model) == 24 * 4 / sum(one.numel() for one in linear.values())
    assert list(nonzero_masks(model)) == ["model.layers.0.mlp.up_proj.weight"]
