"""Loading a pair: which models are accepted, the messages for those that are rejected, and the manifest entry."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from models import KINDS, WORDS, save_llama, save_model

from curate.engines.models.description import describe
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.loading import load_model, load_pair
from curate.engines.models.output_head import hidden_states, output_head, verify_head
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("models") / "original")


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_head_reproduces_the_models_logits(tmp_path: Path, kind: str) -> None:
    model = load_model(save_model(tmp_path / kind, kind), CPU, torch.float32)
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        states = hidden_states(model, ids)
        expected = model(input_ids=ids).logits
    head = output_head(model)
    assert torch.allclose(head.logits(states.flatten(0, 1)), expected.flatten(0, 1), atol=1e-5)
    assert head.plain == (kind != "bias")
    entry = describe(load_pair(None, str(tmp_path / kind), device="cpu").compressed)
    assert entry["tied_embeddings"] == (kind == "tied")
    assert entry["sparsity"] == 0.0
    assert entry["vocabulary"] == 4 + len(WORDS)


def test_a_model_with_another_output_computation_is_rejected(folder: Path) -> None:
    model = load_model(folder, CPU, torch.float32)
    model.lm_head.register_forward_hook(
        lambda layer, inputs, output: output + inputs[0].sum(-1, keepdim=True) * 0.1 + 1
    )
    with pytest.raises(InputError, match="computes its logits in another way"):
        verify_head(model, output_head(model))


def test_a_model_that_is_not_causal_is_rejected(folder: Path) -> None:
    model = load_model(folder, CPU, torch.float32)
    model.model.norm.register_forward_hook(lambda layer, inputs, output: output + output.mean(1, keepdim=True))
    with pytest.raises(InputError, match="lets earlier tokens attend to later ones"):
        verify_head(model, output_head(model))


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


def test_devices_and_dtypes() -> None:
    assert resolve_device("cpu") == CPU
    assert resolve_dtype("auto", CPU) == torch.float32
    assert resolve_dtype("bfloat16", CPU) == torch.bfloat16
    with pytest.raises(UsageError, match="is not known; give auto"):
        resolve_device("tpuu")
    with pytest.raises(UsageError, match="did you mean 'float16'"):
        resolve_dtype("flot16", CPU)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="which has 0 CUDA devices"):
            resolve_device("cuda")
