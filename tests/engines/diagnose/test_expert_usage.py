"""Use of experts: equal to loops over single tokens, in every known architecture."""

from __future__ import annotations

import pytest
import torch
from references.compress import tiny_model
from references.experts import MIXTURES, expert_output, expert_rows, routed_tokens

from curate.engines.diagnose.expert_usage import expert_usage, row_usages, total
from curate.engines.models.expert_blocks import expert_blocks

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", MIXTURES)
def test_choices_and_gates_are_those_of_whole_forward_passes(name: str) -> None:
    model = tiny_model(MIXTURES[name]())
    blocks = expert_blocks(model)
    assert len(blocks) == (6 if name == "jetmoe" else 3)
    by_row = row_usages(model, expert_rows(), CPU, torch.float32)
    for place, row in enumerate(expert_rows()):
        for block, usages, tokens in zip(blocks, by_row, routed_tokens(model, blocks, row), strict=True):
            usage = usages[place]
            assert usage.tokens == row.shape[1] == len(tokens)
            for expert in range(block.count):
                gates = [token["gates"][expert] for token in tokens if expert in token["gates"]]
                assert usage.choices[expert] == len(gates)
                assert float(usage.gates[expert]) == pytest.approx(sum(gates), rel=1e-4)


@pytest.mark.parametrize("name", ["mixtral", "granite", "olmoe", "qwen2", "qwen3"])
def test_norms_are_those_of_the_expert_run_alone(name: str) -> None:
    model = tiny_model(MIXTURES[name]())
    blocks = expert_blocks(model)
    usages = expert_usage(model, expert_rows(), CPU, torch.float32, outputs=True)
    tokens = [routed_tokens(model, blocks, row) for row in expert_rows()]
    for number, (block, usage) in enumerate(zip(blocks, usages, strict=True)):
        norms, weight = [0.0] * block.count, [0.0] * block.count
        for token in (token for row in tokens for token in row[number]):
            for expert, gate in token["gates"].items():
                norm = float(expert_output(block, expert, token["state"]).detach().norm())
                norms[expert] += norm
                weight[expert] += gate * norm
        assert usage.norms.tolist() == pytest.approx(norms, rel=1e-4)
        assert usage.weight.tolist() == pytest.approx(weight, rel=1e-4)


def test_totals_are_sums_over_rows() -> None:
    model = tiny_model(MIXTURES["olmoe"]())
    by_row = row_usages(model, expert_rows(), CPU, torch.float32, probabilities=True)
    whole = total(by_row[0])
    assert whole.tokens == 63
    assert float(whole.choices.sum()) == 2 * 63
    assert float(whole.usage.sum()) == pytest.approx(1.0)
    assert torch.cat(whole.probabilities).shape == (63, 6)


def test_the_effective_number_is_the_number_of_equally_used_experts() -> None:
    model = tiny_model(MIXTURES["mixtral"]())
    (usage, *_) = expert_usage(model, expert_rows(), CPU, torch.float32)
    for used in (1, 2, 6):
        usage.choices = torch.tensor([10.0] * used + [0.0] * (6 - used), dtype=torch.float64)
        assert usage.effective == pytest.approx(used)
