"""Diagnosis of model folders: planted idle and damaged layers, and models that cannot be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from references.compress import WORDS, save_tiny
from references.width import random_model

from curate.engines.compress.layer_removal import remove_blocks
from curate.engines.diagnose.layers import diagnose_layers
from curate.engines.diagnose.request import DiagnosisRequest
from curate.engines.models.projections import decoder_layers
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[Turn("user", " ".join(WORDS[i : i + 5])), Turn("assistant", WORDS[i + 3])] for i in range(6)]
REQUEST = DiagnosisRequest(leave_one_out=True, device="cpu", dtype="float32")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return a model, and a copy whose layer 1 does nothing."""
    model = random_model("llama")
    whole = save_tiny(model, tmp_path / "whole")
    idle: Any = decoder_layers(model)[1][1]
    for projection in (idle.self_attn.o_proj, idle.mlp.down_proj):
        projection.weight.data.zero_()
    return whole, save_tiny(model, tmp_path / "idle")


def test_a_layer_that_does_nothing_is_measured_as_such(folders: tuple[Path, Path]) -> None:
    metrics, tokens = diagnose_layers(folders[1], ROWS, REQUEST)
    assert set(metrics) == {"influence", "change", "angle", "loss_without"}
    assert tokens > 6 * 4
    for values in metrics.values():
        assert len(values) == 3
        assert values[1] == pytest.approx(0.0, abs=1e-6)


def test_the_error_from_the_original_begins_where_the_models_differ(folders: tuple[Path, Path]) -> None:
    metrics, _ = diagnose_layers(folders[1], ROWS, DiagnosisRequest(device="cpu"), original=folders[0])
    assert "loss_without" not in metrics
    errors = metrics["error_from_original"]
    assert errors[0] == 0.0
    assert errors[1] > 0.01
    assert errors[2] > 0.0


def test_models_of_other_depth_cannot_be_compared(folders: tuple[Path, Path], tmp_path: Path) -> None:
    model = random_model("llama")
    remove_blocks(model, [1])
    shorter = save_tiny(model, tmp_path / "shorter")
    with pytest.raises(InputError, match="the original has 3 layers of width 16, the model 2 of width 16"):
        diagnose_layers(shorter, ROWS, DiagnosisRequest(device="cpu"), original=folders[0])


def test_rows_without_tokens_are_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="none of 0 rows has two tokens"):
        diagnose_layers(folders[0], [], REQUEST)
