"""Routers of known classes are found; others are refused by name, and dense models for what they are."""

from __future__ import annotations

import pytest
import transformers
from references.compress import tiny_model
from references.experts import EXPERTS, MIXTURES
from references.width import SIZES, random_model

from curate.engines.models.expert_blocks import expert_blocks
from curate.schemas.errors import GateError, InputError


@pytest.mark.parametrize("name", MIXTURES)
def test_each_router_has_its_experts(name: str) -> None:
    blocks = expert_blocks(tiny_model(MIXTURES[name]()))
    assert {(block.count, block.top_k) for block in blocks} == {(6, 2)}
    assert {block.shared for block in blocks} == {name == "qwen2"}
    assert all(len(block.expert_tensors()) == 2 for block in blocks)


def test_an_unknown_router_is_refused_by_its_class() -> None:
    model = tiny_model(transformers.GptOssConfig(**SIZES, **EXPERTS, num_local_experts=4, head_dim=4))
    with pytest.raises(InputError, match="'gpt_oss' is of class GptOssTopKRouter; known are GraniteMoeTopKRouter"):
        expert_blocks(model)


def test_experts_without_a_router_module_are_refused() -> None:
    model = random_model("llama")
    model.config.num_experts = 4
    with pytest.raises(InputError, match="router is no module of its own"):
        expert_blocks(model)


def test_a_dense_model_is_refused_as_dense() -> None:
    with pytest.raises(GateError, match="'llama' is dense, it has no experts; use curate diagnose layers"):
        expert_blocks(random_model("llama"))
