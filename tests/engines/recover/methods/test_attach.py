"""Every method: the tensors it trains, exact merging, and zeros that stay zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from references.compress import save_tiny, tiny_model
from references.recover import weight_loop
from safetensors.torch import load_file
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM

from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.recover.methods.attach import ADAPTER_WEIGHTS, attach
from curate.engines.recover.methods.masked_product import LowRankLinear, LowRankProduct, ProductKind, effective_weight
from curate.engines.recover.methods.merging import compare_logits, merge
from curate.engines.recover.methods.sparsity import nonzero_masks, restore_nonzeros, share_of_zeros, verify_zeros
from curate.schemas.errors import GateError, InputError, UsageError
from curate.schemas.recovery import RECOVERY_METHODS, RecoveryMethod, RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

IDS = torch.tensor([[1, 4, 7, 9, 12, 2, 8, 3]])
KEEPING: list[RecoveryMethod] = ["mask_lora", "scale_lora", "perp", "full"]


def llama(**changes: Any) -> LlamaConfig:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1}
    return LlamaConfig(**{**sizes, **heads, "eos_token_id": 2, "pad_token_id": 0, **changes})


def gpt2() -> GPT2Config:
    return GPT2Config(vocab_size=32, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2)


def sparse(config: Any, seed: int = 0) -> PreTrainedModel:
    model = tiny_model(config, seed)
    prune_magnitude(model, sparsity=0.5)
    return model


def train_a_little(model: PreTrainedModel, trainable: dict[str, torch.nn.Parameter], steps: int = 3) -> None:
    """Take a few large optimiser steps on one row."""
    optimiser = torch.optim.AdamW(trainable.values(), lr=3e-2, weight_decay=0.0)
    for _ in range(steps):
        logits = model(IDS, use_cache=False).logits[0]
        torch.nn.functional.cross_entropy(logits[:-1], IDS[0, 1:]).backward()
        optimiser.step()
        optimiser.zero_grad()


@pytest.mark.parametrize("kind", ["mask", "scale"])
def test_the_product_matches_the_loop(kind: ProductKind) -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 6, dtype=torch.float64) * (torch.rand(5, 6) > 0.5)
    a, b = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 6), (5, 3)))
    x = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    cast_out = torch.randn(2, 4, 5, dtype=torch.float64)
    gradients = torch.autograd.grad((LowRankProduct.apply(x, weight, a, b, 0.7, kind) * cast_out).sum(), (x, a, b))
    expected_weight = weight_loop(weight, a, b, 0.7, kind)
    expected = torch.autograd.grad((x @ expected_weight.T * cast_out).sum(), (x, a, b))
    assert torch.allclose(effective_weight(weight, a, b, 0.7, kind), expected_weight, rtol=1e-12)
    for one, other in zip(gradients, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *v: LowRankProduct.apply(v[0], weight, v[1], v[2], 0.7, kind), (x, a, b))


def test_scale_starts_at_exactly_one_and_leaves_rank_one() -> None:
    torch.manual_seed(0)
    layer = LowRankLinear(torch.nn.Linear(6, 5), False, 3, 2.0, "scale")
    assert torch.equal(layer.b @ layer.a, torch.ones(5, 6))
    x = torch.randn(4, 6)
    assert torch.equal(layer(x), layer.base(x))
    optimiser = torch.optim.SGD([layer.a, layer.b], lr=0.1)
    for _ in range(3):
        (layer(x) - torch.randn(4, 5)).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    assert torch.linalg.matrix_rank(layer.b @ layer.a) == 3


@pytest.mark.parametrize("config", [llama(), llama(attention_bias=True), gpt2()], ids=["llama", "biased", "gpt2"])
@pytest.mark.parametrize("method", RECOVERY_METHODS)
def test_every_method_starts_at_the_model_itself(config: Any, method: RecoveryMethod) -> None:
    model = sparse(config)
    with torch.no_grad():
        before = model(IDS).logits
    adaptation = attach(model, method, RecoveryRequest(rank=2))
    model.train(False)
    with torch.no_grad():
        assert torch.allclose(model(IDS).logits, before, atol=1e-6)
    assert all(one.requires_grad and one.dtype == torch.float32 for one in adaptation.trainable.values())
    trained = {id(one) for one in adaptation.trainable.values()}
    assert trained == {id(one) for one in model.parameters() if one.requires_grad}
    if method == "full":
        assert adaptation.n_trainable == sum(one.numel() for one in model.parameters())


@pytest.mark.parametrize("config", [llama(), gpt2()], ids=["llama", "gpt2"])
@pytest.mark.parametrize("method", KEEPING)
def test_merging_does_not_change_the_model_and_keeps_every_zero(config: Any, method: RecoveryMethod) -> None:
    model = sparse(config)
    masks, sparsity = nonzero_masks(model), share_of_zeros(model)
    names = list(model.state_dict())
    with torch.no_grad():
        before = model(IDS).logits
    adaptation = attach(model, method, RecoveryRequest(rank=2))
    train_a_little(model, adaptation.trainable)
    model.train(False)
    with torch.no_grad():
        trained = model(IDS).logits
    assert not torch.allclose(trained, before, atol=1e-2)
    merge(adaptation, masks, torch.float32)
    with torch.no_grad():
        assert torch.allclose(model(IDS).logits, trained, atol=1e-5)
    assert share_of_zeros(model) == sparsity == pytest.approx(0.5)
    assert all(torch.equal(mask, nonzero_masks(model)[name]) for name, mask in masks.items())
    assert list(model.state_dict()) == names


def test_lora_merges_into_a_dense_model_and_is_refused_on_a_sparse_one() -> None:
    for model, refused in ((tiny_model(llama()), False), (sparse(llama()), True)):
        masks = nonzero_masks(model)
        adaptation = attach(model, "lora", RecoveryRequest(rank=2, dropout=0.0))
        train_a_little(model, adaptation.trainable)
        model.train(False)
        with torch.no_grad():
            trained = model(IDS).logits
        if refused:
            with pytest.raises(GateError, match=r"128 filled and 0 new.*--method mask_lora"):
                merge(adaptation, masks, torch.float32)
        else:
            merge(adaptation, masks, torch.float32)
            with torch.no_grad():
                assert torch.allclose(model(IDS).logits, trained, atol=1e-5)


def test_rounding_creates_no_zeros() -> None:
    model = sparse(llama())
    masks = nonzero_masks(model)
    name = next(iter(masks))
    weight = dict(model.named_parameters())[name].data
    position = tuple(masks[name].nonzero()[0].tolist())
    weight[position] = 1e-12  # zero in float16
    model.half()
    with pytest.raises(GateError, match="0 filled and 1 new"):
        verify_zeros(model, masks)
    restore_nonzeros(model, masks)
    verify_zeros(model, masks)
    assert dict(model.named_parameters())[name].data[position] == torch.finfo(torch.float16).tiny


def test_chance_zeros_of_a_dense_model_have_no_mask() -> None:
    model = tiny_model(llama())
    assert nonzero_masks(model) == {}
    with torch.no_grad():
        model.get_submodule("model.layers.0.mlp.up_proj").weight[0, 0] = 0.0
    assert nonzero_masks(model) == {}


def test_perp_trains_the_requested_parts() -> None:
    def names(config: Any, *parts: str) -> set[str]:
        return set(attach(sparse(config), "perp", RecoveryRequest(parts=parts)).trainable)

    norms = {f"model.layers.{i}.{n}_layernorm.weight" for i in (0, 1) for n in ("input", "post_attention")}
    assert names(llama(), "norms") == norms | {"model.norm.weight"}
    assert names(llama(), "head") == {"lm_head.weight"}
    assert len(names(llama(attention_bias=True, mlp_bias=True), "biases")) == 2 * 7
    assert names(llama(tie_word_embeddings=True), "head") == {"model.embed_tokens.weight"}
    assert names(gpt2(), "biases") == {
        f"transformer.h.{i}.{n}.bias" for i in (0, 1) for n in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert len(names(gpt2(), "norms")) == 2 * (2 * 2 + 1)
    with pytest.raises(UsageError, match="none of biases to train"):
        names(llama(), "biases")


@pytest.mark.parametrize("method", ["mask_lora", "scale_lora", "perp"])
def test_an_adapter_holds_the_trained_tensors(method: str, tmp_path: Path) -> None:
    kind = cast("RecoveryMethod", method)
    model = sparse(llama())
    adaptation = attach(model, kind, RecoveryRequest(rank=2))
    train_a_little(model, adaptation.trainable)
    assert adaptation.save(tmp_path / "adapter", {"method": method})
    other = sparse(llama())
    again = attach(other, kind, RecoveryRequest(rank=2, seed=5))
    tensors = load_file(tmp_path / "adapter" / ADAPTER_WEIGHTS)
    assert tensors.keys() == again.trainable.keys()
    with torch.no_grad():
        for name, one in again.trainable.items():
            one.copy_(tensors[name])
        assert torch.equal(other(IDS).logits, model(IDS).logits)


def test_peft_reads_a_lora_adapter(tmp_path: Path) -> None:
    from curate.engines.models.loading import load_model

    base = save_tiny(tiny_model(llama()), tmp_path / "base")
    model = LlamaForCausalLM.from_pretrained(base)
    adaptation = attach(model, "lora", RecoveryRequest(rank=2, dropout=0.0))
    train_a_little(model, adaptation.trainable)
    adaptation.save(tmp_path / "adapter", {})
    assert not (tmp_path / "adapter" / "README.md").exists()
    read = load_model(tmp_path / "adapter", torch.device("cpu"), torch.float32)
    with torch.no_grad():
        assert torch.allclose(read(IDS).logits, model.train(False)(IDS).logits, atol=1e-5)


def test_the_initial_adapter_depends_on_the_seed_only() -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    starts = [attach(sparse(llama()), "mask_lora", RecoveryRequest(rank=2, seed=s)).trainable for s in (1, 1, 2)]
    first, again, other = (next(iter(start.values())) for start in starts)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(3)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_merged_model_with_other_logits_is_refused() -> None:
    one = [torch.tensor([[1.0, -2.0]])]
    assert compare_logits(one, [one[0] + 1e-5], torch.float32) == pytest.approx(5e-6, rel=0.1)
    with pytest.raises(GateError, match="differs from the trained one by 5.0%"):
        compare_logits(one, [one[0] + 0.1], torch.float16)
    with pytest.raises(GateError, match="differs"):
        compare_logits(one, [one[0] * float("nan")], torch.bfloat16)


def test_a_model_without_projections_is_refused() -> None:
    model = tiny_model(llama())
    for layer in model.model.layers:
        for name in ("self_attn", "mlp"):
            setattr(layer, name, torch.nn.Identity())
    methods: list[RecoveryMethod] = ["lora", "mask_lora"]
    for method in methods:
        with pytest.raises(InputError, match="no linear projection to adapt"):
            attach(model, method, RecoveryRequest())
