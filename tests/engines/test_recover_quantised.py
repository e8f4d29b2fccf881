"""A quantised model gets an adapter of its own, beside weights that nobody can train."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from models import WORDS, save_llama

from curate.engines.models import load_model
from curate.engines.recover import recover
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ROWS = [[Turn("user", " ".join(WORDS[i : i + 3])), Turn("assistant", WORDS[i])] for i in range(20)]
REQUEST = RecoveryRequest(merge=False, rank=2, batch=8, epochs=4, learning_rate=1e-2)


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    """Return a model in 8 bits, made by bitsandbytes on the CPU."""
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dense, out = save_llama(tmp_path / "dense"), tmp_path / "quantised"
    how = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(
        dense, quantization_config=how, device_map={"": "cpu"}, dtype=torch.float32
    )
    shutil.copytree(dense, out, ignore=shutil.ignore_patterns("*.safetensors"))
    model.save_pretrained(out)
    return out


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_model_learns_by_an_adapter(quantised: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="add --no-merge to keep it separate"):
        recover(quantised, ROWS, tmp_path / "out", RecoveryRequest())
    report = recover(quantised, ROWS, tmp_path / "out", REQUEST, heldout=ROWS[:6])
    assert report["method"] == "lora"
    assert "quantised (bitsandbytes 8-bit)" in report["reason"]
    assert report["perplexity_after"] < 0.9 * report["perplexity_before"]
    assert report["warnings"] == []
    assert not report["merged"]
    assert load_model(quantised, torch.device("cpu"), None).config.quantization_config is not None
