"""Conversion of pickled models in a separate process, and nonuniform layer widths, which no stock class loads."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, tiny_model, tiny_tokenizer
from torch import nn
from transformers import LlamaConfig

from curate.engines.models.checkpoints import find_pickle
from curate.engines.models.loading import load_model
from curate.engines.models.pickles import convert, main, write_folder
from curate.engines.models.projections import decoder_layers
from curate.engines.recover import inspect_model, recover
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

IDS = torch.tensor([[1, 4, 7, 9, 12, 2]])
CPU = torch.device("cpu")


def llama(**changes: Any) -> LlamaConfig:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 64}
    return LlamaConfig(**{**sizes, **heads, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **changes})


def narrowed(**changes: Any) -> PreTrainedModel:
    """Return a model whose middle layer lost two of four heads and eight of 24 inner units, as with LLM-Pruner."""
    model = tiny_model(llama(**changes))
    layer: Any = decoder_layers(model)[1][1]

    def cut(module: nn.Linear, rows: int | None, columns: int | None) -> None:
        module.weight = nn.Parameter(module.weight.detach()[:rows, :columns].clone())
        module.out_features, module.in_features = module.weight.shape

    for name in ("q_proj", "k_proj", "v_proj"):
        cut(getattr(layer.self_attn, name), 8, None)
    cut(layer.self_attn.o_proj, None, 8)
    cut(layer.mlp.gate_proj, 16, None)
    cut(layer.mlp.up_proj, 16, None)
    cut(layer.mlp.down_proj, None, 16)
    return model


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """Return a pickle as LLM-Pruner writes it, and the logits of its model."""
    model = narrowed()
    path = tmp_path_factory.mktemp("pruned") / "pytorch_model.bin"
    for weight in model.parameters():  # not the buffers: positions are computed in float32
        weight.data = weight.data.half()
    torch.save({"model": model, "tokenizer": tiny_tokenizer()}, path)
    with torch.no_grad():
        return path, model.float()(IDS).logits


@pytest.fixture(scope="module")
def folder(pickled: tuple[Path, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    converted = tmp_path_factory.mktemp("converted") / "model"
    write_folder(pickled[0], converted)
    return converted


def test_the_folder_reproduces_the_pickled_model(pickled: tuple[Path, torch.Tensor], folder: Path) -> None:
    model = load_model(folder, CPU, torch.float32)
    with torch.no_grad():
        assert torch.allclose(model(IDS).logits, pickled[1], atol=1e-6)
    assert load_model(folder, CPU, None).dtype == torch.float16
    assert json.loads((folder / "shapes.json").read_text())["model.layers.1.mlp.down_proj.weight"] == [16, 16]
    assert len(json.loads((folder / "shapes.json").read_text())) == 7
    assert (folder / "tokenizer.json").is_file()
    findings = inspect_model(str(folder))
    assert findings.kinds == ("ragged",)
    assert "model.layers.*.self_attn.q_proj.weight" in findings.nonuniform


def test_a_nonuniform_model_stays_nonuniform_when_recovered(folder: Path, tmp_path: Path) -> None:
    words = [*WORDS, *WORDS]
    rows = [[Turn("user", " ".join(words[i : i + 3])), Turn("assistant", words[i])] for i in range(16)]
    request = RecoveryRequest(rank=2, batch=8, epochs=3, learning_rate=1e-2)
    report = recover(folder, rows, tmp_path / "out", request, heldout=rows)
    assert (report["method"], report["merged"]) == ("lora", True)
    assert report["perplexity_after"] < report["perplexity_before"]
    assert (tmp_path / "out" / "shapes.json").read_bytes() == (folder / "shapes.json").read_bytes()
    assert inspect_model(str(tmp_path / "out")).kinds == ("ragged",)


def test_a_model_of_uniform_widths_becomes_an_ordinary_folder(tmp_path: Path) -> None:
    for name, tied in (("untied", False), ("tied", True)):
        model = tiny_model(llama(tie_word_embeddings=tied))
        torch.save(model, tmp_path / f"{name}.bin")
        assert main([str(tmp_path / f"{name}.bin"), str(tmp_path / name)]) == 0
        assert not (tmp_path / name / "shapes.json").exists()
        with torch.no_grad():
            assert torch.equal(load_model(tmp_path / name, CPU, None)(IDS).logits, model(IDS).logits)


class Evil:
    """Runs code when it is unpickled: writes the id of the process that does so."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"echo $PPID > {self.mark}",)


def test_untrusted_pickles_are_never_opened(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save(Evil(mark), tmp_path / "model.bin")
    for path in (tmp_path / "model.bin", tmp_path):
        with pytest.raises(InputError, match=r"opening it can run any code; add --trust-pickle if you trust"):
            inspect_model(str(path))
    assert not mark.exists()
    assert find_pickle(tmp_path) == tmp_path / "model.bin"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0", "holds weights only; give its folder"),
        ("model", b"GGUF\x03\0\0\0", "is a GGUF file; .* a name that ends in .gguf"),
        ("notes.txt", b"hello", "is no model; give a Hugging Face folder"),
        ("empty.bin", b"", "is no model"),
        ("archive.zip", None, "is no model"),
        ("bare.pkl", pickle.dumps([1]), "is a pickle: opening it can run any code"),
    ],
)
def test_files_that_are_no_pickles_are_not_called_pickles(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    file = tmp_path / name
    if content is None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("readme.md", "hello")
    else:
        file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        inspect_model(str(file))
    assert (find_pickle(file) is None) == ("pickle" not in message)


@pytest.mark.slow
def test_trusted_pickles_are_opened_in_a_separate_process(pickled: tuple[Path, torch.Tensor], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save(Evil(mark), tmp_path / "model.bin")
    with pytest.raises(InputError, match="cannot be converted: it holds int, not a model"):
        convert(tmp_path / "model.bin", tmp_path / "out")
    assert int(mark.read_text()) != os.getpid()
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".tmp-*"))
    convert(pickled[0], tmp_path / "out")
    with torch.no_grad():
        assert torch.allclose(load_model(tmp_path / "out", CPU, torch.float32)(IDS).logits, pickled[1], atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": torch.ones(2)}, "it holds NoneType, not a model"),
        (nn.Linear(2, 2), "it holds Linear, not a model with a configuration"),
    ],
)
def test_pickles_without_a_model_are_rejected(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(content, tmp_path / "model.bin")
    assert main([str(tmp_path / "model.bin"), str(tmp_path / "out")]) == 3
    assert message in capsys.readouterr().err
    (tmp_path / "broken.bin").write_bytes(b"not a pickle")
    assert main([str(tmp_path / "broken.bin"), str(tmp_path / "out")]) == 3
    assert "it cannot be opened" in capsys.readouterr().err


def test_a_nonuniform_folder_that_does_not_match_is_rejected(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "shapes.json").write_text("{}")
    with pytest.raises(InputError, match=r"does not fit its shapes.json"):
        load_model(broken, CPU, None)
    (broken / "shapes.json").write_text('{"model.norm.weight": [8]}')
    with pytest.raises(InputError, match="belongs to no linear layer"):
        load_model(broken, CPU, None)
