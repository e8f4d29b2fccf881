"""Configurations that transformers rejects although the model is sound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from models import save_llama

from curate.engines.models.configuration import is_dense, read_config
from curate.engines.models.folder import open_model
from curate.engines.models.loading import context_of, load_model, load_pair
from curate.engines.models.preflight import check_models
from curate.engines.models.quantised import quantisation
from curate.engines.recover import inspect_model

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
IDS = torch.arange(6).unsqueeze(0)

DENSE: dict[str, Any] = {
    "quant_method": "compressed-tensors", "format": "dense", "config_groups": {},
    "sparsity_config": {"format": "dense", "global_sparsity": 0.5, "sparsity_structure": "2:4"},
}  # fmt: skip


def configure(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_llama(tmp_path / "model")


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("value", ["torch.bfloat16", "bfloat16", "torch.float32"])
def test_a_dtype_written_as_torch_prints_it(model: Path, key: str, value: str) -> None:
    config = json.loads((model / "config.json").read_text())
    del config["dtype"]
    (model / "config.json").write_text(json.dumps(config | {key: value}))
    assert context_of(model) == 128
    check_models(None, str(model))
    assert load_pair(None, str(model), device="cpu").compressed.head.vocabulary == config["vocab_size"]
    assert str(load_model(model, CPU, None).dtype) == f"torch.{value.removeprefix('torch.')}"


def test_a_dtype_inside_a_section_is_repaired_too(model: Path) -> None:
    configure(model, text_config={"dtype": "torch.float16", "deeper": {"torch_dtype": "torch.bfloat16"}})
    assert read_config(model)["text_config"] == {"dtype": "float16", "deeper": {"torch_dtype": "bfloat16"}}


@pytest.mark.parametrize("change", [{}, {"config_groups": None}, {"sparsity_config": None}, {"format": None}])
def test_a_dense_compressed_tensors_folder_is_a_dense_model(model: Path, change: dict[str, Any]) -> None:
    with torch.no_grad():
        expected = load_model(model, CPU, None)(input_ids=IDS).logits
    configure(model, quantization_config=DENSE | change)
    assert quantisation(model) is None
    check_models(None, str(model), device="cpu")
    loaded = load_model(model, CPU, None)
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=IDS).logits, expected)
    assert inspect_model(str(model)).kinds == ("dense",)
    # A model that is saved again no longer claims anything about quantisation.
    assert "quantization_config" not in open_model(model).config.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
        {"kv_cache_scheme": {"num_bits": 8}},
        {"sparsity_config": {"format": "sparse-24-bitmask"}},
        {"quant_method": "gptq"},
    ],
)
def test_what_compresses_something_stays_quantised(model: Path, change: dict[str, Any]) -> None:
    assert not is_dense(DENSE | change)
    configure(model, quantization_config=DENSE | change)
    assert quantisation(model) == change.get("quant_method", "compressed-tensors")
