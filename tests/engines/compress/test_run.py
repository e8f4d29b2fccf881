"""`compress` on model folders: the files written, the errors, and reproducibility byte for byte."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import transformers
from references.compress import WORDS, save_tiny, skipping_logits, tiny_model, tiny_tokenizer
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.calibration import draw_calibration_rows
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.models.folder import open_model, write_model
from curate.engines.models.projections import decoder_layers
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import MESSAGES, Turn
from curate.schemas.errors import InputError, UsageError, WarehouseError

ROW = torch.tensor([[1, 4, 7, 9, 12, 2]])


def config(**changes: Any) -> transformers.LlamaConfig:
    sizes: dict[str, Any] = {
        "vocab_size": 32,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return transformers.LlamaConfig(**{**sizes, **changes})


def conversations(n: int = 20) -> list[list[Turn]]:
    words = [*WORDS, *WORDS]
    return [[Turn("user", " ".join(words[i : i + 5])), Turn("assistant", words[i + 3])] for i in range(n)]


def batch(turns: list[list[Turn]]) -> pa.RecordBatch:
    messages = [[{"role": t.role, "content": t.content, "tool_call": t.tool_call} for t in row] for row in turns]
    return pa.RecordBatch.from_arrays([pa.array(messages, MESSAGES)], names=["messages"])


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def logits(folder: Path, row: torch.Tensor = ROW) -> torch.Tensor:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        result: torch.Tensor = model(row, use_cache=False).logits
    return result


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tiny_model(config()), tmp_path_factory.mktemp("tiny") / "model")


HALF = CompressionRequest("magnitude", sparsity=0.5)
REQUESTS = {
    "magnitude": HALF,
    "magnitude-global": replace(HALF, scope="global"),
    "magnitude-2:4": CompressionRequest("magnitude", pattern="2:4"),
    "wanda": CompressionRequest("wanda", sparsity=0.5),
    "wanda-1:4": CompressionRequest("wanda", pattern="1:4"),
    "blocks": CompressionRequest("blocks", n_blocks=2),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_equal_inputs_give_equal_bytes_in_any_folder(
    source: Path, tmp_path: Path, request_: CompressionRequest
) -> None:
    moved = shutil.copytree(source, tmp_path / "elsewhere")
    compress(source, tmp_path / "a", request_, calibration=conversations())
    compress(moved, tmp_path / "deep" / "b", request_, calibration=conversations())
    assert digests(tmp_path / "a") == digests(tmp_path / "deep" / "b")
    assert not list(tmp_path.glob(".tmp-*"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (source / name).read_bytes()
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "a").chat_template == tiny_tokenizer().chat_template


def test_the_folder_gives_the_logits_of_the_model_in_memory(source: Path, tmp_path: Path) -> None:
    model = open_model(source)
    prune_magnitude(model, sparsity=0.5)
    with torch.no_grad():
        expected = model(ROW, use_cache=False).logits
    report = compress(source, tmp_path / "out", HALF)
    assert torch.equal(logits(tmp_path / "out"), expected)
    assert report["sparsity"] == 0.5
    assert report["parameters_before"] == report["parameters_after"] == sum(p.numel() for p in model.parameters())
    assert report["nonzero_after"] == sum(int(p.count_nonzero()) for p in model.parameters())
    assert {entry["sparsity"] for entry in report["projections"]} == {0.5}
    assert len(report["projections"]) == 4 * 7
    json.dumps(report)


def test_a_model_without_blocks_equals_one_that_skips_them(source: Path, tmp_path: Path) -> None:
    report = compress(source, tmp_path / "out", REQUESTS["blocks"], calibration=conversations())
    dense = open_model(source)
    expected = skipping_logits(dense, decoder_layers(dense)[1], report["layers_removed"], ROW)
    assert torch.equal(logits(tmp_path / "out"), expected)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == 2
    assert (report["layers_before"], report["layers_after"]) == (4, 2)
    ranked = sorted(range(4), key=lambda i: report["block_influence"][i])
    assert report["layers_removed"] == sorted(ranked[:2])
    assert report["parameters_after"] < report["parameters_before"]
    assert report["calibration_rows"] == 20


def test_batches_and_turns_give_the_same_calibration(source: Path, tmp_path: Path) -> None:
    turns = conversations()
    request = CompressionRequest("wanda", sparsity=0.5, calibration_rows=7, seed=3)
    compress(source, tmp_path / "a", request, calibration=turns)
    report = compress(source, tmp_path / "b", request, calibration=[batch(turns[:13]), batch(turns[13:])])
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert report["calibration_rows"] == 7


def test_the_seed_decides_the_calibration_rows() -> None:
    template = Template(tiny_tokenizer(), "auto", 64)
    drawn = [draw_calibration_rows(conversations(), template, 5, seed) for seed in (0, 0, 1)]
    texts = [[row.tolist() for row in rows] for rows in drawn]
    assert texts[0] == texts[1] != texts[2]
    assert all(row.shape[0] == 1 and row.dtype == torch.int64 for row in drawn[0])
    assert len(draw_calibration_rows(conversations(3), template, 100, 0)) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_keep_their_number_format(tmp_path: Path, dtype: torch.dtype) -> None:
    half = tiny_model(config())
    for parameter in half.parameters():
        parameter.data = parameter.data.to(dtype)
    half.config.dtype = dtype
    folder = save_tiny(half, tmp_path / "half")
    stored = json.loads((folder / "config.json").read_text())
    # The configuration states a wrong dtype on purpose: the weights decide.
    (folder / "config.json").write_text(json.dumps({**stored, "dtype": "float32"}))
    report = compress(folder, tmp_path / "out", REQUESTS["wanda"], calibration=conversations())
    assert report["dtype"] == str(dtype).removeprefix("torch.")
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    for name, weight in after.items():
        assert weight.dtype == dtype
        assert torch.equal(weight[weight != 0], before[name][weight != 0])


def test_tied_head_and_embeddings_are_not_pruned(tmp_path: Path) -> None:
    folder = save_tiny(tiny_model(config(tie_word_embeddings=True)), tmp_path / "tied")
    compress(folder, tmp_path / "out", CompressionRequest("magnitude", sparsity=0.9))
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as tensors:
        assert "lm_head.weight" not in tensors.keys()  # noqa: SIM118
        assert int((tensors.get_tensor("model.embed_tokens.weight") == 0).sum()) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magnitud", "sparsity": 0.5}, "did you mean 'magnitude'"),
        ({"method": "magnitude"}, "needs a sparsity"),
        ({"method": "magnitude", "sparsity": 0.5, "pattern": "2:4"}, "not both"),
        ({"method": "magnitude", "sparsity": 1.0}, "not between 0 and 1"),
        ({"method": "magnitude", "pattern": "4:2"}, "not N:M"),
        ({"method": "magnitude", "sparsity": 0.5, "scope": "row"}, "scope 'row' is not known"),
        ({"method": "magnitude", "pattern": "2:4", "scope": "global"}, "leave it out"),
        ({"method": "magnitude", "sparsity": 0.5, "n_blocks": 1}, "removes no blocks"),
        ({"method": "blocks"}, "number of blocks None"),
        ({"method": "blocks", "n_blocks": 1, "path": "0-2"}, "both say what to remove"),
        ({"method": "blocks", "path": "0-2", "by": "greedy"}, "says which layers go, not 'greedy'"),
        ({"method": "wanda", "sparsity": 0.5, "path": "0-2"}, "takes no path of layers"),
        ({"method": "blocks", "n_blocks": 1, "sparsity": 0.5}, "takes no sparsity"),
        ({"method": "wanda", "sparsity": 0.5, "calibration_rows": 0}, "not positive"),
    ],
)
def test_invalid_requests_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CompressionRequest(**settings)


@pytest.mark.parametrize(
    ("request_", "calibration", "message"),
    [
        (REQUESTS["wanda"], None, "needs calibration rows"),
        (REQUESTS["blocks"], None, "needs calibration rows"),
        (CompressionRequest("blocks", n_blocks=4), conversations(), "between 1 and 3"),
        (CompressionRequest("blocks", path="0-2,4"), None, "has layer 4, but the model's layers are 0 to 3"),
        (CompressionRequest("blocks", path="0-3"), None, "has all 4 layers"),
    ],
)
def test_requests_that_do_not_fit_the_model_write_nothing(
    source: Path, tmp_path: Path, request_: CompressionRequest, calibration: list[list[Turn]] | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        compress(source, tmp_path / "out", request_, calibration=calibration)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_refused_and_not_changed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("notes")
    with pytest.raises(UsageError, match="is not empty"):
        compress(source, tmp_path / "out", HALF)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    compress(source, tmp_path / "empty", HALF)
    assert (tmp_path / "empty" / "config.json").is_file()


def test_a_failed_write_leaves_no_files(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(WarehouseError, match="No space left on device"):
        write_model(open_model(source), source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_empty_calibration_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of 0 calibration conversations"):
        compress(source, tmp_path / "out", REQUESTS["wanda"], calibration=[])


def test_unusable_models_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model folder"):
        compress(tmp_path / "missing", tmp_path / "out", HALF)
    quantised = shutil.copytree(source, tmp_path / "quantised")
    stored = json.loads((quantised / "config.json").read_text())
    (quantised / "config.json").write_text(json.dumps({**stored, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(InputError, match="is quantised"):
        compress(quantised, tmp_path / "out", HALF)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    save_file({"a": torch.zeros(1)}, adapter / "adapter_model.safetensors")
    with pytest.raises(InputError, match="holds an adapter"):
        compress(adapter, tmp_path / "out", HALF)
    damaged = shutil.copytree(source, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        compress(damaged, tmp_path / "out", HALF)


def test_a_model_without_decoder_layers_is_refused(tmp_path: Path) -> None:
    xlnet = transformers.XLNetConfig(vocab_size=32, d_model=16, n_layer=2, n_head=4, d_inner=16)
    model = tiny_model(xlnet)
    model.config.n_layer = 3
    with pytest.raises(InputError, match="has no list of 3 decoder layers"):
        decoder_layers(model)


@pytest.mark.parametrize(
    "settings",
    [CompressionRequest("wanda", sparsity=0.5, calibration_rows=4), CompressionRequest("blocks", n_blocks=1)],
)
def test_the_folder_says_how_it_was_made(settings: CompressionRequest, tmp_path: Path) -> None:
    source = save_tiny(tiny_model(config()), tmp_path / "source")
    report = compress(source, tmp_path / "out", settings, calibration=conversations(), source_digest="abc")
    record = json.loads((tmp_path / "out" / "compression.json").read_text())
    assert record["digests"]["model"] == "abc"
    # Other calibration rows, another digest.
    compress(source, tmp_path / "other", settings, calibration=conversations(9))
    digests = [json.loads((tmp_path / name / "compression.json").read_text())["digests"] for name in ("out", "other")]
    assert digests[0]["calibration_tokens"] != digests[1]["calibration_tokens"]
    assert CompressionRequest(**record["request"]) == settings
    del report["seconds"]
    assert report.items() <= record.items()
    assert "seconds" not in record
