"""Channels of MLPs in every known layout: a permutation is the same function, a cut is a mask."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from references.compress import tiny_model
from references.width import CONFIGS, SIZES, masked_logits, random_model, token_rows

from curate.engines.compress.width.channels import mlp_channels, write_width
from curate.engines.compress.width.cut import check_width_config
from curate.schemas.errors import InputError

ROW = token_rows()[2]


def test_every_layout_is_found_once_per_layer() -> None:
    for name in CONFIGS:
        channels = mlp_channels(random_model(name))
        assert [mlp.layer for mlp in channels] == [0, 1, 2], name
        assert {mlp.count for mlp in channels} == {64 if name in ("gpt2", "gpt-j", "falcon") else 24}, name


@pytest.mark.parametrize("name", CONFIGS)
def test_a_permutation_of_the_channels_is_the_same_function(name: str) -> None:
    model = random_model(name)
    before = model(ROW).logits
    for mlp in mlp_channels(model):
        order = torch.randperm(mlp.count, generator=torch.Generator().manual_seed(mlp.layer))
        assert not torch.equal(order, torch.arange(mlp.count))
        mlp.keep(order)
    torch.testing.assert_close(model(ROW).logits, before, rtol=1e-5, atol=1e-5)


def test_a_permutation_undone_gives_the_bits_back() -> None:
    model = random_model("phi3")
    before = copy.deepcopy(model.state_dict())
    for mlp in mlp_channels(model):
        order = torch.randperm(mlp.count, generator=torch.Generator().manual_seed(3))
        mlp.keep(order)
        mlp.keep(torch.argsort(order))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", CONFIGS)
def test_kept_channels_compute_what_masking_the_others_does(name: str) -> None:
    model = random_model(name)
    whole = copy.deepcopy(model)
    channels = mlp_channels(model)
    width = channels[0].count
    kept = [torch.randperm(width, generator=torch.Generator().manual_seed(mlp.layer))[: width // 2] for mlp in channels]
    for mlp, index in zip(channels, kept, strict=True):
        mlp.keep(index)
    write_width(model, width, width // 2)
    check_width_config(model)
    expected = masked_logits(whole, mlp_channels(whole), kept, ROW)
    torch.testing.assert_close(model(ROW).logits, expected, rtol=1e-5, atol=1e-5)
    assert {mlp.count for mlp in mlp_channels(model)} == {width // 2}


def refused(name: str) -> Any:
    mixture = {"moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2}
    return {
        "experts": lambda: transformers.Qwen3MoeConfig(**SIZES, **mixture),
        # Every other layer is dense: narrowing these alone would leave two widths.
        "some experts": lambda: transformers.Qwen3MoeConfig(**SIZES, **mixture, mlp_only_layers=[1]),
        "shared experts": lambda: transformers.Qwen2MoeConfig(**SIZES, **mixture, shared_expert_intermediate_size=12),
        "no key": lambda: transformers.BloomConfig(vocab_size=31, hidden_size=16, n_layer=3, n_head=4),
    }[name]()


@pytest.mark.parametrize("name", ["experts", "some experts", "shared experts"])
def test_mixtures_of_experts_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="experts"):
        mlp_channels(tiny_model(refused(name)))


def test_a_width_that_no_configuration_key_holds_is_refused() -> None:
    model = tiny_model(refused("no key"))
    channels = mlp_channels(model)
    with pytest.raises(InputError, match="bloom.*no key for the width"):
        write_width(model, channels[0].count, 8)
