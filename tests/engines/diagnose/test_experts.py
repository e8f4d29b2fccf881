"""Diagnosis of a mixture's folder: a planted specialist, groups of rows, and what cannot be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model
from references.experts import MIXTURES
from references.width import random_model

from curate.engines.diagnose.experts import diagnose_experts
from curate.engines.diagnose.request import DiagnosisRequest
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError, InputError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[Turn("user", " ".join(WORDS[i : i + 5])), Turn("assistant", WORDS[i + 3])] for i in range(6)]
REQUEST = DiagnosisRequest(device="cpu", dtype="float32")


def test_groups_are_what_their_rows_alone_give(tmp_path: Path) -> None:
    folder = save_tiny(tiny_model(MIXTURES["mixtral"]()), tmp_path / "model")
    groups = [2, 0, 2, 0, 0, 2]
    together = diagnose_experts(folder, ROWS, REQUEST, groups=groups)
    assert [(one.layer, one.group) for one in together] == [(layer, group) for layer in range(3) for group in (0, 2)]
    for group in (0, 2):
        alone = diagnose_experts(folder, [row for row, of in zip(ROWS, groups, strict=True) if of == group], REQUEST)
        grouped = [one for one in together if one.group == group]
        for one, other in zip(grouped, alone, strict=True):
            assert one.tokens == other.tokens
            assert one.usage == other.usage
            assert one.gate_mass == pytest.approx(other.gate_mass)
            assert other.group is None


def test_experts_that_are_never_chosen_have_no_norm(tmp_path: Path) -> None:
    model: Any = tiny_model(MIXTURES["mixtral"]())
    gate = model.model.layers[1].mlp.gate.weight.data
    # Logits are s, 2s, −s, −2s, 0, 0: the two largest are the first two or the next two.
    gate.copy_(gate[0] * torch.tensor([1.0, 2.0, -1.0, -2.0, 0.0, 0.0])[:, None])
    measured = diagnose_experts(save_tiny(model, tmp_path / "model"), ROWS, REQUEST)
    assert measured[1].usage[4:] == [0.0, 0.0]
    assert measured[1].usage[0] == measured[1].usage[1]
    assert measured[1].effective <= 4.0 + 1e-9
    for one in measured:
        assert sum(one.usage) == pytest.approx(1.0)
        assert sum(one.gate_mass) == pytest.approx(1.0, rel=1e-5)
        assert [norm is None for norm in one.output_norm] == [usage == 0.0 for usage in one.usage]


def test_gates_that_are_not_renormalised_add_up_to_less(tmp_path: Path) -> None:
    folder = save_tiny(tiny_model(MIXTURES["olmoe"]()), tmp_path / "model")
    assert all(sum(one.gate_mass) < 0.99 for one in diagnose_experts(folder, ROWS, REQUEST))


def test_jetmoe_has_two_blocks_a_layer_and_no_norms(tmp_path: Path) -> None:
    folder = save_tiny(tiny_model(MIXTURES["jetmoe"]()), tmp_path / "model")
    measured = diagnose_experts(folder, ROWS, REQUEST)
    assert [(one.layer, one.name) for one in measured[:2]] == [(0, "mlp"), (0, "self_attention.experts")]
    assert all(one.output_norm == [None] * 6 for one in measured)


def test_shared_experts_are_named_and_not_counted(tmp_path: Path) -> None:
    folder = save_tiny(tiny_model(MIXTURES["qwen2"]()), tmp_path / "model")
    measured = diagnose_experts(folder, ROWS, REQUEST)
    assert all(one.shared and len(one.usage) == 6 for one in measured)


def test_a_dense_model_and_rows_without_tokens_are_refused(tmp_path: Path) -> None:
    dense = save_tiny(random_model("llama"), tmp_path / "dense")
    with pytest.raises(GateError, match="is dense"):
        diagnose_experts(dense, ROWS, REQUEST)
    with pytest.raises(InputError, match="none of 0 rows has two tokens"):
        diagnose_experts(dense, [], REQUEST)
