"""LoRA's dropout, drawn again in the backward pass: PEFT's own losses and gradients, with less kept in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from references.compress import tiny_model
from transformers import GPT2Config, LlamaConfig

from curate.engines.models.projections import find_projections
from curate.engines.recover.methods.attach import attach
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from transformers import PretrainedConfig

IDS = torch.tensor([[1, 4, 7, 9, 12, 2, 8, 3]])
LLAMA = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4)
GPT2 = GPT2Config(vocab_size=32, n_positions=64, n_embd=16, n_layer=2, n_head=2)


def taken(model: torch.nn.Module) -> tuple[float, dict[str, torch.Tensor], int]:
    """Return the loss of one row, the gradients of the adapters, and the bytes kept for the backward pass."""
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "lora_B" in name:
                one.copy_(torch.linspace(-0.1, 0.1, one.numel()).view_as(one))
    kept: dict[int, int] = {}
    storages = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storages.append(tensor.untyped_storage())
        kept[storages[-1].data_ptr()] = storages[-1].nbytes()
        return tensor

    torch.manual_seed(5)
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = torch.nn.functional.cross_entropy(model(IDS, use_cache=False).logits[0, :-1], IDS[0, 1:])
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, sum(kept.values())


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_losses_and_gradients_are_those_of_peft(config: PretrainedConfig) -> None:
    from peft import LoraConfig, get_peft_model

    plain = tiny_model(config)
    plain.config.use_cache = False
    names = [one.name for one in find_projections(plain)]
    torch.manual_seed(0)
    get_peft_model(plain, LoraConfig(r=2, lora_alpha=16, lora_dropout=0.4, target_modules=names))
    ours = tiny_model(config)
    attach(ours, "lora", RecoveryRequest(rank=2, dropout=0.4, seed=0))
    (loss, gradients, kept), (own_loss, own_gradients, own_kept) = taken(plain), taken(ours)
    assert own_loss == loss
    assert own_gradients.keys() == gradients.keys()
    assert len(gradients) >= 16
    assert all(torch.equal(own_gradients[name], one) for name, one in gradients.items())
    assert own_kept < 0.9 * kept
