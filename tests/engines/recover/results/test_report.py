"""A low-rank recovery of a mixture of experts says which weights it leaves as they are."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from references.compress import tiny_model
from references.width import SIZES

from curate.engines.recover.methods.attach import attach
from curate.engines.recover.results.report import expert_warnings
from curate.schemas.recovery import RecoveryMethod, RecoveryRequest

CONFIGS: dict[str, Any] = {
    "mixtral": lambda: transformers.MixtralConfig(**SIZES, num_experts_per_tok=2, num_local_experts=4),
    "granite": lambda: transformers.GraniteMoeConfig(**SIZES, num_experts_per_tok=2, num_local_experts=4),
    "olmoe": lambda: transformers.OlmoeConfig(**SIZES, num_experts_per_tok=2, num_experts=4),
}


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("method", ["lora", "mask_lora"])
def test_low_rank_methods_name_the_experts(kind: str, method: RecoveryMethod) -> None:
    model = tiny_model(CONFIGS[kind]())
    experts = sum(one.numel() for name, one in model.named_parameters() if "expert" in name or "linear.weight" in name)
    adaptation = attach(model, method, RecoveryRequest(method=method))
    (sentence,) = expert_warnings(adaptation)
    share = experts / sum(one.numel() for one in adaptation.model.parameters())
    assert f"{share:.0%} of the model's parameters" in sentence
    assert sentence.startswith(f"{method} does not train expert weights: 6 tensors")
    assert "--method full" in sentence


@pytest.mark.parametrize("method", ["full", "perp"])
def test_other_methods_say_nothing(method: RecoveryMethod) -> None:
    assert not expert_warnings(attach(tiny_model(CONFIGS["mixtral"]()), method, RecoveryRequest(method=method)))


def test_dense_models_say_nothing() -> None:
    model = tiny_model(transformers.LlamaConfig(**SIZES))
    assert not expert_warnings(attach(model, "lora", RecoveryRequest(method="lora")))
