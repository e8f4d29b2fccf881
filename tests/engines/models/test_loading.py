"""Loading a pair: which models are accepted, and the messages for those that are rejected."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from models import save_llama

from curate.engines.models.loading import load_model, load_pair
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("models") / "original")


def test_folders_without_a_usable_model_are_rejected(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="has no config.json|has no weights"):
        load_pair(str(folder), str(empty))
    with pytest.raises(InputError, match="there is no model folder"):
        load_pair(None, str(tmp_path / "absent"))
    partial = tmp_path / "partial"
    shutil.copytree(folder, partial)
    config = json.loads((partial / "config.json").read_text())
    (partial / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(InputError, match=r"lacks \d+ of its weights, first model.layers.2"):
        load_pair(None, str(partial), device="cpu")
    torch.save({"a": torch.ones(2)}, empty / "pytorch_model.bin")
    with pytest.raises(InputError, match="opening it can run any code"):
        load_pair(str(folder), str(empty))


def test_an_adapter_is_merged_into_its_base(folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = load_model(folder, CPU, torch.float32)
    torch.manual_seed(0)
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(str(tmp_path / "adapter"))
    ids = torch.arange(6).unsqueeze(0)
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits
        logits = load_pair(str(folder), str(tmp_path / "adapter"), device="cpu").compressed.model(input_ids=ids).logits
    assert torch.allclose(logits, expected, atol=1e-5)
    assert not torch.allclose(logits, load_model(folder, CPU, None)(input_ids=ids).logits, atol=1e-3)
