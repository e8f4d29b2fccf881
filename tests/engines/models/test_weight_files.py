"""Damaged model files are rejected in one sentence that names the file, before anything is built."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from models import save_llama

from curate.engines.models.checkpoints import model_files
from curate.engines.models.loading import context_of, load_pair
from curate.engines.models.preflight import check_models
from curate.engines.recover import inspect_model
from curate.engines.score.memory import model_size
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEEP = "[" * 200_000
SINGLE = "model.safetensors"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("models") / "sound")


@pytest.fixture
def model(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "model")


def uses(folder: Path) -> list[Callable[[], Any]]:
    name = str(folder)
    return [
        lambda: model_files(name),
        lambda: check_models(None, name),
        lambda: load_pair(None, name, device="cpu"),
        lambda: context_of(folder),
        lambda: inspect_model(name),
        lambda: model_size(name),
    ]


def assert_refused(folder: Path, match: str, calls: list[Callable[[], Any]] | None = None) -> None:
    """Assert that every use of the model raises one line that matches, and in no time."""
    for use in calls or uses(folder):
        start = time.perf_counter()
        with pytest.raises(InputError, match=match) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert time.perf_counter() - start < 20


def message_of(use: Callable[[], Any]) -> str | None:
    """Return the message of the InputError that `use` raises, None if it raises none."""
    try:
        use()
    except InputError as error:
        return str(error)
    return None


def shard(folder: Path, weight_map: Any) -> None:
    (folder / SINGLE).rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "", "{", DEEP, "\x00\x01", '{"a":' * 5000])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_json_that_is_no_object(model: Path, name: str, content: str) -> None:
    if name != "config.json":
        (model / SINGLE).unlink()
    (model / name).write_text(content)
    assert_refused(model, f"{name}' (is not JSON|holds|is nested).*; restore it")


@pytest.mark.parametrize("content", ["[]", "null", "", DEEP, "{}", '{"model": 3}', '{"model": {"type": "WordLevel"}}'])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_damaged_tokenizers(model: Path, name: str, content: str) -> None:
    if name == "tokenizer_config.json" and "{" in content:
        pytest.skip("a valid configuration of a tokenizer")
    (model / name).write_text(content)
    calls = uses(model)
    assert_refused(model, r"; (restore it|copy its tokenizer files)", [calls[1], calls[2]])


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads"])
@pytest.mark.parametrize("value", ["16", -1, 0, True, [16], {}, 1.5, "abc"])
def test_sizes_that_are_no_whole_numbers(model: Path, name: str, value: Any) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {name: value}))
    assert_refused(model, rf"config.json' has {name} .* no whole number of at least 1; restore it")


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("num_hidden_layers", 10_000_000, "10,000,000 layers"),
        ("num_hidden_layers", 10**30, "layers"),
        ("hidden_size", 10**12, "weights or more"),
        ("vocab_size", 10**15, "weights or more"),
        ("num_local_experts", 10**9, "experts per layer"),
    ],
)
def test_sizes_beyond_the_weight_files(model: Path, name: str, value: int, what: str) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {name: value}))
    assert_refused(model, rf"config.json' claims .*{what} and the weight files hold .*; restore it")


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": "x"},
        {"model_type": 3},
        {"model_type": "no-such-model"},
        {"dtype": "float17"},
        {"hidden_act": "nothing"},
        {"architectures": 3},
        {"text_config": []},
        {"tie_word_embeddings": "x"},
        {"num_attention_heads": 7},
        {"quantization_config": 3},
        {"intermediate_size": "wide"},
    ],
    ids=str,
)
def test_other_values_never_surface_as_another_error(model: Path, change: dict[str, Any]) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | change))
    for use in uses(model):
        message = message_of(use)
        assert message is None or (str(model) in message and ";" in message)


def damaged(content: bytes, kind: str) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    if kind.startswith("header"):
        return {"header-exabytes": 2**62, "header-longer": len(content)}[kind].to_bytes(8, "little") + content[8:]
    if kind == "data-exabytes":
        header = header.replace(b'"data_offsets":[0,', b'"data_offsets":[0,%d' % 2**60, 1)
    edits = {
        "list": b"[]",
        "no-json": b"x" * 64,
        "entry": b'{"a":3}',
        "offsets": b'{"a":{"dtype":"F32"}}',
        "deep": b"[" * 90_000,
    }
    header = edits.get(kind, header)
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    "kind", ["header-exabytes", "header-longer", "data-exabytes", "list", "no-json", "entry", "offsets", "deep"]
)
@pytest.mark.parametrize("sharded", [False, True])
def test_damaged_headers(model: Path, kind: str, sharded: bool) -> None:
    (model / SINGLE).write_bytes(damaged((model / SINGLE).read_bytes(), kind))
    if sharded:
        shard(model, {"lm_head.weight": "model-00001-of-00001.safetensors"})
    assert_refused(model, r"weights file '.*safetensors' cannot be read .*; copy it again")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, -1, -1000])
def test_truncated_weights(model: Path, kept: int) -> None:
    content = (model / SINGLE).read_bytes()
    (model / SINGLE).write_bytes(content[:kept])
    assert_refused(model, r"model.safetensors' cannot be read .*; copy it again")


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "gone.safetensors"}, "lacks gone.safetensors, which its index names; copy it there"),
        ({}, "has no weight_map"),
        ([], "has no weight_map"),
        ({"a": 3}, "names 3, which is no file beside it"),
        ({"a": "../model.safetensors"}, "which is no file beside it"),
        ({"a": "/etc/passwd"}, "which is no file beside it"),
    ],
)
def test_damaged_indices(model: Path, weight_map: Any, message: str) -> None:
    shard(model, weight_map)
    assert_refused(model, message)


def test_a_sharded_model_and_leftover_files_still_load(model: Path) -> None:
    shard(model, {"lm_head.weight": "model-00001-of-00001.safetensors"})
    (model / "model-00009-of-00009.safetensors").write_bytes(b"left from an earlier save")
    for use in uses(model):
        use()
