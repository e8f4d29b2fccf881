"""Adapters: weights that fit no base, bases that form a cycle, and vocabularies of another size."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from models import save_llama, save_model
from safetensors.torch import load_file, save_file

from curate.engines.models.checkpoints import model_files
from curate.engines.models.loading import context_of, load_model, load_pair
from curate.engines.models.preflight import check_models
from curate.engines.recover import inspect_model
from curate.engines.score.memory import model_size
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
IDS = torch.arange(6).unsqueeze(0)


def save_adapter(base: Path, folder: Path, *, rows: int | None = None, **settings: Any) -> torch.Tensor:
    """Save a LoRA adapter over `base`, whose embeddings may be resized before, and return its logits."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    network = load_model(base, CPU, torch.float32)
    network.config.name_or_path = str(base)
    network.name_or_path = str(base)
    if rows is not None:
        network.resize_token_embeddings(rows)
    settings = {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False, **settings}
    adapted = get_peft_model(network, LoraConfig(**settings))
    for name, weight in adapted.named_parameters():
        if "modules_to_save" in name:
            weight.data += torch.randn_like(weight)
    adapted.save_pretrained(str(folder))
    with torch.no_grad():
        logits: torch.Tensor = adapted(input_ids=IDS).logits
    return logits


def rename_keys(folder: Path, old: str, new: str, limit: int | None = None) -> None:
    path = folder / "adapter_model.safetensors"
    state = load_file(path)
    changed = sorted(state)[:limit]
    save_file({key.replace(old, new) if key in changed else key: value for key, value in state.items()}, path)


def set_base(folder: Path, base: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(base)}))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    save_adapter(base, tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize(("limit", "count"), [(None, "4 of 4"), (1, "1 of 4")])
def test_weights_that_fit_nothing_are_named(adapter: Path, limit: int | None, count: str) -> None:
    rename_keys(adapter, "model.layers", "transformer.h", limit)
    with pytest.raises(InputError, match=rf"has {count} weights that fit nothing .* first .*transformer\.h\.0.*; give"):
        load_model(adapter, CPU, None)


def test_an_adapter_without_weights_is_rejected(adapter: Path) -> None:
    save_file({}, adapter / "adapter_model.safetensors")
    with pytest.raises(InputError, match="rank r 2 and no stored matrix|there are none"):
        load_model(adapter, CPU, None)


@pytest.mark.parametrize("rank", [10**9, -1, "2", 1.5])
def test_ranks_that_no_stored_matrix_has(adapter: Path, rank: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": rank}))
    with pytest.raises(InputError, match=r"adapter_config.json' has the rank r .*; restore it"):
        load_model(adapter, CPU, None)


@pytest.mark.parametrize("content", ["[]", "null", "", '{"base_model_name_or_path": 3}', "{}", "[" * 100_000])
def test_damaged_configurations(adapter: Path, content: str) -> None:
    (adapter / "adapter_config.json").write_text(content)
    for use in (lambda: model_files(str(adapter)), lambda: load_model(adapter, CPU, None)):
        with pytest.raises(InputError, match="adapter_config.json|does not name its base"):
            use()


@pytest.mark.parametrize(
    "change", [{"peft_type": 3}, {"peft_type": "NOTHING"}, {"target_modules": 3}, {"lora_alpha": "x"}]
)
def test_other_values_are_input_errors(adapter: Path, change: dict[str, Any]) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="adapter"):
        load_model(adapter, CPU, None)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_weights(adapter: Path, kept: int) -> None:
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    for use in (lambda: model_files(str(adapter)), lambda: load_model(adapter, CPU, None)):
        with pytest.raises(InputError, match=r"adapter_model.safetensors' cannot be read .*; copy it again"):
            use()


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_cycle_of_bases_is_named(adapter: Path, tmp_path: Path, length: int) -> None:
    folders = [adapter, *(tmp_path / f"adapter{index}" for index in range(1, length))]
    for folder in folders[1:]:
        shutil.copytree(adapter, folder)
    for folder, below in zip(folders, [*folders[1:], folders[0]], strict=True):
        set_base(folder, below)
    name = str(adapter)
    for use in (
        lambda: model_files(name),
        lambda: check_models(None, name),
        lambda: load_pair(None, name, device="cpu"),
        lambda: context_of(adapter),
        lambda: inspect_model(name),
        lambda: model_size(name),
    ):
        with pytest.raises(InputError, match="its bases form a cycle") as caught:
            use()
        assert all(repr(str(folder)) in str(caught.value) for folder in folders)


def test_an_adapter_below_a_cycle_is_rejected_too(adapter: Path, tmp_path: Path) -> None:
    top = shutil.copytree(adapter, tmp_path / "top")
    set_base(adapter, adapter)
    set_base(top, adapter)
    with pytest.raises(InputError, match="form a cycle"):
        load_model(top, CPU, None)


def test_an_adapter_over_an_adapter_is_read(adapter: Path, tmp_path: Path) -> None:
    top = shutil.copytree(adapter, tmp_path / "top")
    set_base(top, adapter)
    assert len(model_files(str(top))) == len(model_files(str(adapter))) + 2
    assert inspect_model(str(top)).adapter_base is not None
    load_model(top, CPU, None)


@pytest.mark.parametrize("kind", ["untied", "tied"])
@pytest.mark.parametrize("saved", [["embed_tokens", "lm_head"], ["embed_tokens"]])
def test_the_base_is_widened_to_embeddings_that_the_adapter_brings(tmp_path: Path, kind: str, saved: list[str]) -> None:
    if kind == "untied" and len(saved) == 1:
        pytest.skip("its output head would lack the new rows")
    base = save_model(tmp_path / "base", kind)
    rows = json.loads((base / "config.json").read_text())["vocab_size"] + 2
    tied = {"ensure_weight_tying": True} if kind == "tied" and len(saved) == 1 else {}
    expected = save_adapter(base, tmp_path / "adapter", rows=rows, modules_to_save=saved, **tied)
    loaded = load_model(tmp_path / "adapter", CPU, torch.float32)
    with torch.no_grad():
        assert torch.allclose(loaded(input_ids=IDS).logits, expected, atol=1e-5)
    loaded.save_pretrained(tmp_path / "merged")
    with torch.no_grad():
        again = load_model(tmp_path / "merged", CPU, torch.float32)(input_ids=IDS).logits
    assert torch.allclose(again, expected, atol=1e-5)


def test_a_resized_vocabulary_that_is_not_brought_names_both_sizes(base: Path, tmp_path: Path) -> None:
    rows = json.loads((base / "config.json").read_text())["vocab_size"]
    save_adapter(base, tmp_path / "adapter", rows=rows + 2, target_modules=["embed_tokens"])
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({key: value for key, value in load_file(path).items() if "lora" in key}, path)
    with pytest.raises(InputError, match=rf"embeddings of {rows + 2} rows and its base has {rows}; save it with"):
        load_model(tmp_path / "adapter", CPU, None)


def test_a_tokenizer_with_more_ids_than_the_base_names_both_sizes(base: Path, adapter: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<a>", "<b>"])
    tokenizer.save_pretrained(adapter)
    rows = json.loads((base / "config.json").read_text())["vocab_size"]
    with pytest.raises(InputError, match=rf"ids up to {rows + 1} .* only {rows} rows"):
        load_pair(None, str(adapter), device="cpu")
