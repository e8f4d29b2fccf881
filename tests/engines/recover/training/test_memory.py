"""The tokens of a training pass by the model's sizes, and the memory that a token takes."""

from __future__ import annotations

from dataclasses import replace

import torch
from references.compress import tiny_model
from transformers import GPT2Config, LlamaConfig

from curate.engines.models.output_head import hidden_states
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.training.memory import (
    TRAINED_BYTES,
    TrainingLoad,
    adapter_parameters,
    layer_sizes,
    pass_tokens,
    predict_training_memory,
    token_bytes,
)
from curate.schemas.recovery import RecoveryRequest

SMOL = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}


def test_a_pass_on_a_cpu_is_as_long_as_its_activations_allow() -> None:
    small, large = ({**SMOL, "num_hidden_layers": layers} for layers in (2, 300))
    assert [pass_tokens(layer_sizes(one), "cpu") for one in (small, SMOL, large)] == [4096, 388, 256]
    assert pass_tokens(layer_sizes(large), "cuda") == 16384
    gpt2 = layer_sizes(GPT2Config(n_embd=24, n_layer=3, n_head=2).to_dict())
    assert (gpt2.width, gpt2.inner, gpt2.layers) == (24, 96, 3)


def test_a_token_keeps_no_more_than_predicted() -> None:
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4
    )
    model = tiny_model(config)
    attach(model, "lora", RecoveryRequest(rank=2))
    model.train()
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            alive.append(storage)
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.arange(64).repeat(4, 1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden_states(model, ids)
    assert 0.5 < sum(kept.values()) / (ids.numel() * token_bytes(layer_sizes(config.to_dict()))) < 1.0


def test_the_memory_of_a_training_is_that_of_what_it_trains_and_keeps() -> None:
    size = replace(layer_sizes(SMOL | {"vocab_size": 49152}), parameters=135_000_000)
    load = TrainingLoad("cpu", 4, "lora", 8)
    lora, full = (predict_training_memory(size, replace(load, method=method)) for method in ("lora", "full"))
    assert lora["weights"] == full["weights"] == 4 * 135_000_000
    assert full["trained"] == TRAINED_BYTES * 135_000_000
    assert lora["activations"] == 2 * pass_tokens(size, "cpu") * token_bytes(size)
    for more in (replace(load, rank=64), replace(load, batch_tokens=2048)):
        assert sum(predict_training_memory(size, more).values()) > sum(lora.values())
    for less in (replace(load, step_tokens=100.0), replace(load, gradient_checkpointing=True)):
        assert predict_training_memory(size, less)["activations"] < lora["activations"]


def test_adapters_have_no_more_parameters_than_predicted() -> None:
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4
    )
    adaptation = attach(tiny_model(config), "lora", RecoveryRequest(rank=2))
    assert adaptation.n_trainable == adapter_parameters(layer_sizes(config.to_dict()), 2)
