"""The output head reproduces the model's own logits; models for which it cannot are rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from models import KINDS, WORDS, save_llama, save_model

from curate.engines.models.description import describe
from curate.engines.models.loading import load_model, load_pair
from curate.engines.models.output_head import hidden_states, output_head, verify_head
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("models") / "original")


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_head_reproduces_the_models_logits(tmp_path: Path, kind: str) -> None:
    model = load_model(save_model(tmp_path / kind, kind), CPU, torch.float32)
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        states = hidden_states(model, ids)
        expected = model(input_ids=ids).logits
    head = output_head(model)
    assert torch.allclose(head.logits(states.flatten(0, 1)), expected.flatten(0, 1), atol=1e-5)
    assert head.plain == (kind != "bias")
    entry = describe(load_pair(None, str(tmp_path / kind), device="cpu").compressed)
    assert entry["tied_embeddings"] == (kind == "tied")
    assert entry["sparsity"] == 0.0
    assert entry["vocabulary"] == 4 + len(WORDS)


def test_a_model_with_another_output_computation_is_rejected(folder: Path) -> None:
    model = load_model(folder, CPU, torch.float32)
    model.lm_head.register_forward_hook(
        lambda layer, inputs, output: output + inputs[0].sum(-1, keepdim=True) * 0.1 + 1
    )
    with pytest.raises(InputError, match="computes its logits in another way"):
        verify_head(model, output_head(model))


def test_a_model_that_is_not_causal_is_rejected(folder: Path) -> None:
    model = load_model(folder, CPU, torch.float32)
    model.model.norm.register_forward_hook(lambda layer, inputs, output: output + output.mean(1, keepdim=True))
    with pytest.raises(InputError, match="lets earlier tokens attend to later ones"):
        verify_head(model, output_head(model))
