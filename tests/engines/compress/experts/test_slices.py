"""Tokens that never chose a removed expert: computed as before, but where the router does not renormalise its gates."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from references.compress import tiny_model
from references.experts import MIXTURES

from curate.engines.compress.experts.slices import keep_experts
from curate.engines.models.expert_blocks import expert_blocks

EXACT = ["mixtral", "granite", "jetmoe", "olmoe normalised"]


@pytest.mark.parametrize("name", MIXTURES)
@torch.no_grad()
def test_tokens_of_kept_experts_are_exact_where_gates_are_renormalised(name: str) -> None:
    block = expert_blocks(tiny_model(MIXTURES[name]()))[0]
    states = torch.randn(1, 200, 16, generator=torch.Generator().manual_seed(0))
    chosen = block.choices(block.router(states.flatten(0, 1)))[2]
    unaffected = ~((chosen == 1) | (chosen == 4)).any(1)
    assert 20 < int(unaffected.sum()) < 180
    before = _output(block.module, states)
    smaller = copy.deepcopy(block)
    keep_experts(smaller, torch.tensor([0, 2, 3, 5]))
    assert smaller.count == 4
    difference = float((_output(smaller.module, states) - before)[unaffected].abs().max())
    assert difference < 1e-5 if name in EXACT else difference > 0.1


def _output(module: Any, states: torch.Tensor) -> torch.Tensor:
    returned = module(states)
    output: torch.Tensor = returned[0] if isinstance(returned, tuple) else returned
    return output.flatten(0, 1)
