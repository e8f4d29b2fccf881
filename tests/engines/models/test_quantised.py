"""Quantised models are scored like any other, and those that cannot run here are rejected before loading."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from models import save_even, save_llama
from scoring import conversations, scored

from curate.engines.models.description import describe
from curate.engines.models.loading import load_pair
from curate.engines.models.preflight import check_models
from curate.engines.models.quantised import check_quantised, quantisation
from curate.engines.score.config import ScoreConfig
from curate.engines.score.memory import model_size
from curate.engines.score.scorer import score
from curate.schemas.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path


def quantised_folder(folder: Path, **config: Any) -> Path:
    """Save a dense model whose configuration claims that it is quantised."""
    save_llama(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": config}))
    return folder


def quantise(dense: Path, out: Path, config: Any) -> Path:
    """Quantise the model in `dense` with a transformers `config` into the new folder `out`."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        dense, quantization_config=config, device_map={"": "cpu"}, dtype=torch.float32
    )
    shutil.copytree(dense, out, ignore=shutil.ignore_patterns("*.safetensors"))
    model.save_pretrained(out)
    return out


def quantisation_config(method: str) -> Any:
    """Return the transformers configuration of a method, or skip the test if its package is not installed."""
    pytest.importorskip(method.partition("-")[0])
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if method == "torchao-8":
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig())
    return BitsAndBytesConfig(load_in_8bit=True) if method.endswith("8") else BitsAndBytesConfig(load_in_4bit=True)


@pytest.mark.parametrize("method", ["bitsandbytes-4", "bitsandbytes-8", "torchao-8"])
def test_a_quantised_model_scores_close_to_the_dense_model(tmp_path: Path, method: str) -> None:
    dense = save_even(tmp_path / "dense")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = quantise(dense, tmp_path / "small", quantisation_config(method))
        check_models(str(dense), str(small), device="cpu")
        pair = load_pair(str(dense), str(small), device="cpu", dtype="float32")
        rows = scored(pair, conversations())
        itself = scored(load_pair(str(dense), str(dense), device="cpu", dtype="float32"), conversations())
    facts = describe(pair.compressed)
    assert (facts["quantised"], facts["sparsity"]) == (method.partition("-")[0], None)
    assert facts["parameters"] == describe(pair.original)["parameters"]  # type: ignore[arg-type]
    assert quantisation(small) == facts["quantised"]
    assert model_size(str(small)).quantised
    assert {row["status"] for row in rows} == {"ok"}
    for row, same in zip(rows, itself, strict=True):
        assert same["cds"] < 1e-6
        assert row["cds"] < 0.01
        assert row["nll_compressed"] != same["nll_compressed"]
        assert row["nll_compressed"] == pytest.approx(same["nll_compressed"], rel=0.02)
        assert row["nod"] == pytest.approx(same["nod"], rel=0.1)
        assert row["nll_original"] == pytest.approx(same["nll_original"], rel=1e-5)
    with pytest.raises(InputError, match="--layers output"):
        list(score([conversations()], pair, ScoreConfig(layers="all")))


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8"])
def test_methods_that_need_a_gpu_are_rejected_before_loading(tmp_path: Path, method: str) -> None:
    folder = quantised_folder(tmp_path / "model", quant_method=method)
    for attempt in (
        lambda: check_models(None, str(folder), device="cpu"),
        lambda: load_pair(None, str(folder), device="cpu"),
    ):
        with pytest.raises(InputError, match=f"quantised with {method}, which runs on a GPU only"):
            attempt()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder = quantised_folder(tmp_path / "model", quant_method="torchao")
    with pytest.raises(MissingExtraError, match=r"curate-llm\[quantise\]"):
        check_quantised(folder, on_cpu=True)
    bits = quantised_folder(tmp_path / "bits", quant_method="bitsandbytes")
    with pytest.raises(MissingExtraError, match=r"curate-llm\[gpu\]"):
        check_quantised(bits, on_cpu=True)
    other = quantised_folder(tmp_path / "other", quant_method="gptq")
    with pytest.raises(InputError, match="pip install gptqmodel"):
        check_quantised(other, on_cpu=False)


def test_old_bitsandbytes_folders_are_recognised(tmp_path: Path) -> None:
    assert quantisation(quantised_folder(tmp_path / "old", load_in_8bit=True)) == "bitsandbytes"
    assert quantisation(save_llama(tmp_path / "dense")) is None
