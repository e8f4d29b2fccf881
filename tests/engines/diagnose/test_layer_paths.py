"""Paths through the layers equal whole forward passes with the other layers skipped, on five architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import skipping_logits
from references.width import random_model, token_rows
from torch import nn

from curate.engines.diagnose.layer_paths import LayerPaths
from curate.engines.models.projections import decoder_layers
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

NAMES = ["llama", "qwen2", "gemma3", "gpt2", "opt"]


def loss_of(model: PreTrainedModel, removed: Sequence[int]) -> float:
    """Return the mean loss per token of whole forward passes that skip layers."""
    total, tokens = 0.0, 0
    for row in token_rows():
        if row.shape[1] > 1:
            logits = skipping_logits(model, decoder_layers(model)[1], removed, row)
            total += float(nn.functional.cross_entropy(logits[0, :-1], row[0, 1:], reduction="sum"))
            tokens += row.shape[1] - 1
    return total / tokens


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("removed", [[], [0], [1], [2], [0, 2], [0, 1, 2]])
def test_a_path_is_the_model_without_the_other_layers(name: str, removed: list[int]) -> None:
    model = random_model(name)
    assert LayerPaths(model, token_rows()).loss(removed) == pytest.approx(loss_of(model, removed), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_path_of_all_layers_is_the_forward_pass_to_the_last_bit(name: str) -> None:
    model = random_model(name)
    rows = [row for row in token_rows() if row.shape[1] > 1]
    for row, losses in zip(rows, LayerPaths(model, rows).token_losses(), strict=True):
        with torch.no_grad():
            logits = model(row, use_cache=False).logits
        assert torch.equal(losses, nn.functional.cross_entropy(logits[0, :-1], row[0, 1:], reduction="none"))


def test_the_model_is_as_before_afterwards() -> None:
    model = random_model("gemma3")
    before = model(token_rows()[2]).logits
    LayerPaths(model, token_rows()).loss({1})
    assert torch.equal(model(token_rows()[2]).logits, before)


def test_rows_without_a_next_token_are_refused() -> None:
    with pytest.raises(InputError, match="none of the rows has two tokens"):
        LayerPaths(random_model("llama"), [torch.tensor([[3]])])


def test_a_layer_that_gives_no_numbers_is_named() -> None:
    model = random_model("llama")
    damaged: Any = decoder_layers(model)[1][1]
    damaged.mlp.down_proj.weight.data[0] = torch.nan
    with pytest.raises(InputError, match=r"layers\.1 gives NaN"):
        LayerPaths(model, token_rows())
