"""Quantising to 8 bits: the folder that plain transformers loads, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from models import WORDS, save_even, save_llama
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.quantise import check_linear
from curate.engines.recover import inspect_model, recover
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError, InputError, MissingExtraError, UsageError
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = CompressionRequest("quantise")
ROWS = [[Turn("user", " ".join(WORDS[i : i + 3])), Turn("assistant", WORDS[i])] for i in range(20)]
IDS = torch.tensor([[3, 5, 7, 4]])


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")(IDS).logits
    return result


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_transformers_loads_a_model_of_rounded_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    pytest.importorskip("torchao")
    dense = save_even(tmp_path / "dense")
    AutoModelForCausalLM.from_pretrained(dense, dtype=dtype).save_pretrained(dense)
    report = compress(dense, tmp_path / "small", REQUEST)
    loaded = dict(AutoModelForCausalLM.from_pretrained(tmp_path / "small", dtype="auto").named_parameters())
    expected = AutoModelForCausalLM.from_pretrained(dense, dtype=dtype)
    matrices = {name: one for name, one in expected.named_parameters() if ".layers." in name and one.ndim == 2}
    for name, one in matrices.items():
        after, before = loaded[name].dequantize().float(), one.detach().float()
        steps = before.abs().amax(1, keepdim=True) / 127.5
        # In 16 bits scales are rounded too.
        assert ((after - before).abs() <= steps * (0.501 if dtype == torch.float32 else 1)).all()
        assert not torch.equal(after, before)
        one.data = loaded[name].dequantize().to(dtype)
    with torch.no_grad():
        wanted = expected(IDS).logits
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(logits(tmp_path / "small"), wanted, atol=tolerance, rtol=tolerance)
    assert report["quantised_weights"] == sum(one.numel() for one in matrices.values())
    assert 0 < report["quantisation_error"] < 0.02
    assert report["parameters_after"] == report["parameters_before"]
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("dense", "small")]
    saved = report["quantised_weights"] * (dtype.itemsize - 1)
    assert sizes[0] - sizes[1] > 0.7 * saved
    compress(dense, tmp_path / "again", REQUEST)
    for name in ("model.safetensors", "config.json", "compression.json", "tokenizer.json"):
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert json.loads((tmp_path / "small" / "compression.json").read_text())["request"]["bits"] == 8


@pytest.mark.filterwarnings("ignore")
def test_it_is_named_recovered_by_an_adapter_and_not_quantised_twice(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    dense = save_even(tmp_path / "dense")
    compress(dense, tmp_path / "small", REQUEST)
    assert inspect_model(str(tmp_path / "small")).quantisation == "torchao 8-bit"
    with pytest.raises(InputError, match="is quantised; compress the unquantised model"):
        compress(tmp_path / "small", tmp_path / "twice", REQUEST)
    with pytest.raises(GateError, match="add --no-merge"):
        recover(tmp_path / "small", ROWS, tmp_path / "out", RecoveryRequest())
    settings = RecoveryRequest(merge=False, rank=2, batch=8, epochs=4, learning_rate=1e-2)
    report = recover(tmp_path / "small", ROWS, tmp_path / "out", settings, heldout=ROWS[:6])
    assert (report["method"], report["warnings"]) == ("lora", [])
    assert report["perplexity_after"] < 0.9 * report["perplexity_before"]


def test_importing_transformers_with_torchao_prints_nothing() -> None:
    pytest.importorskip("torchao")
    code = "from curate.engines.library_output import silence_loggers as s; s(); import torchao.quantization"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--method quantise needs .*curate-llm\[quantise\]"):
        compress(save_llama(tmp_path / "dense"), tmp_path / "small", REQUEST)
    assert not (tmp_path / "small").exists()


def test_layers_that_would_keep_their_format_are_refused(tmp_path: Path) -> None:
    check_linear(AutoModelForCausalLM.from_pretrained(save_llama(tmp_path / "dense")))
    sizes = {"vocab_size": 32, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2}
    with pytest.raises(InputError, match=r"h\.0\.attn\.c_attn .* is in a Conv1D, which torchao leaves"):
        check_linear(GPT2LMHeadModel(GPT2Config(**sizes)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparsity": 0.5}, "takes no sparsity"),
        ({"pattern": "2:4"}, "takes no pattern"),
        ({"n_blocks": 2}, "takes no blocks"),
        ({"bits": 4}, "in 4 bits; give 8"),
        ({"n_experts": 2}, "removes no experts"),
    ],
)
def test_settings_of_other_methods_are_refused(given: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CompressionRequest("quantise", **given)  # type: ignore[arg-type]
    assert not REQUEST.needs_calibration
