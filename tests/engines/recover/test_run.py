"""`recover` on model folders: the files written, the errors, and resuming after a stop."""

from __future__ import annotations

import json
import resource
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model, tiny_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from curate.engines.compress import CompressionRequest, compress
from curate.engines.recover import Observer, RecoveryContext, recover
from curate.engines.recover.estimate import estimate
from curate.engines.recover.methods.sparsity import nonzero_masks
from curate.engines.recover.observer import Interrupted
from curate.engines.recover.output import rehearse
from curate.engines.recover.prepare import load_setup, prepare_recovery
from curate.engines.recover.results.report import rounding_warnings
from curate.engines.recover.results.work_folder import WorkFolder
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import MESSAGES, Turn
from curate.schemas.errors import CurateError, GateError, InputError, UsageError
from curate.schemas.recovery import RECOVERY_METHODS, RecoveryMethod, RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

Rows = list[list[Turn]]


def conversations(n: int = 24, start: int = 0) -> Rows:
    words = [*WORDS, *WORDS]
    turns = range(start, start + n)
    return [[Turn("user", " ".join(words[i % 20 : i % 20 + 3])), Turn("assistant", words[i % 20])] for i in turns]


def request(method: str = "auto", **changes: Any) -> RecoveryRequest:
    settings: dict[str, Any] = {"rank": 2, "batch": 8, "epochs": 4, "learning_rate": 2e-2, "checkpoint_steps": 3}
    return RecoveryRequest(method=method, **{**settings, **changes})


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    model = tiny_model(LlamaConfig(**sizes, **heads, bos_token_id=1, eos_token_id=2, pad_token_id=0)).half()
    return save_tiny(model, tmp_path_factory.mktemp("dense") / "model")


@pytest.fixture(scope="module")
def sparse(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sparse") / "model"
    compress(dense, folder, CompressionRequest("magnitude", sparsity=0.5))
    return folder


@pytest.mark.parametrize("method", [m for m in RECOVERY_METHODS if m != "lora"])
def test_every_method_writes_an_ordinary_model_with_the_same_zeros(sparse: Path, tmp_path: Path, method: str) -> None:
    heldout = conversations(6, start=3)
    report = recover(sparse, conversations(), tmp_path / "out", request(method), heldout=heldout)
    assert report["sparsity_before"] == report["sparsity_after"] == 0.5
    assert report["perplexity_after"] < report["perplexity_before"]
    assert report["perplexity_after"] == pytest.approx(report["perplexity_trained"], rel=1e-2)
    assert 0 <= report["merge_difference"] < 2e-2
    assert (report["steps"], report["rows"], report["rows_heldout"]) == (12, 24, 6)
    before, after = load_file(sparse / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weight in after.items():
        assert weight.dtype == torch.float16
        if "proj" in name:
            assert torch.equal(weight == 0, before[name] == 0)
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == tiny_tokenizer().chat_template
    assert (tmp_path / "out" / "generation_config.json").is_file()
    assert (tmp_path / "out" / "adapter").is_dir() == (method != "full")
    assert not list(tmp_path.glob(".tmp-*"))
    json.dumps(report)


def test_auto_chooses_the_method_by_the_detected_compression(dense: Path, sparse: Path, tmp_path: Path) -> None:
    reports = {}
    for name, model in (("dense", dense), ("sparse", sparse)):
        reports[name] = recover(model, conversations(), tmp_path / name, request(epochs=1))
    assert (reports["dense"]["method"], reports["sparse"]["method"]) == ("lora", "mask_lora")
    assert "no zeros to keep" in reports["dense"]["reason"]
    assert reports["dense"]["merged"]
    assert reports["dense"]["perplexity_before"] is None
    adapter = json.loads((tmp_path / "dense" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(dense)


def test_lora_on_a_sparse_model_needs_no_merge(sparse: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="merging plain LoRA would fill the model's zeros"):
        recover(sparse, conversations(), tmp_path / "out", request("lora"))
    assert not list(tmp_path.iterdir())
    report = recover(sparse, conversations(), tmp_path / "out", request("lora", merge=False), heldout=conversations(4))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md", "adapter", "metrics.jsonl", "recovery.json",
    ]  # fmt: skip
    assert (tmp_path / "out" / "adapter" / "adapter_config.json").is_file()
    assert (report["merged"], report["sparsity_after"]) == (False, 0.5)
    assert report["perplexity_after"] == report["perplexity_trained"] < report["perplexity_before"]
    with pytest.raises(GateError, match="the adapter's base .* is sparse"):
        recover(tmp_path / "out" / "adapter", conversations(), tmp_path / "next", request())


@pytest.mark.slow
def test_an_adapter_over_a_dense_model_is_recovered_with_its_base(dense: Path, tmp_path: Path) -> None:
    recover(dense, conversations(), tmp_path / "first", request("lora", merge=False))
    report = recover(tmp_path / "first" / "adapter", conversations(), tmp_path / "second", request("lora"))
    assert report["detected"]["kinds"] == ["adapter"]
    assert (tmp_path / "second" / "tokenizer.json").is_file()
    assert not (tmp_path / "second" / "adapter_config.json").exists()


@pytest.mark.slow
def test_batches_and_turns_give_the_same_training(sparse: Path, tmp_path: Path) -> None:
    turns = conversations()
    messages = [[{"role": t.role, "content": t.content, "tool_call": False} for t in row] for row in turns]
    batches = [
        pa.RecordBatch.from_arrays([pa.array(part, MESSAGES)], ["messages"]) for part in (messages[:9], messages[9:])
    ]
    one = recover(sparse, turns, tmp_path / "a", request())
    other = recover(sparse, batches, tmp_path / "b", request())
    assert [e["loss"] for e in one["metrics"]] == [e["loss"] for e in other["metrics"]]
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_a_stopped_recovery_resumes_at_its_checkpoint(sparse: Path, tmp_path: Path) -> None:
    recover(sparse, conversations(), tmp_path / "whole", request())
    steps: list[int] = []
    stopping = Observer(on_step=lambda entry, _: steps.append(entry["step"]), should_stop=lambda: len(steps) == 5)
    context = RecoveryContext(work=tmp_path / "work")
    with pytest.raises(Interrupted):
        recover(sparse, conversations(), tmp_path / "out", request(), context=context, observer=stopping)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="other rows, another model or other settings"):
        recover(sparse, conversations(), tmp_path / "out", request(seed=1), context=context)
    observer = Observer(on_step=stopping.on_step)
    recover(sparse, conversations(), tmp_path / "out", request(), context=context, observer=observer)
    assert steps == list(range(1, 13))
    assert (tmp_path / "out/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert not list((tmp_path / "work").iterdir())


def test_what_cannot_be_written_is_known_before_the_training(dense: Path, sparse: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    observer = Observer(on_step=lambda entry, _: steps.append(entry["step"]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for model, method, merge, size in ((sparse, "mask_lora", True, 8_000), (dense, "lora", False, 2_000)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            settings = request(method, merge=merge)
            with pytest.raises(CurateError, match="cannot write the (model|adapter) to .*out"):
                recover(model, conversations(), tmp_path / "out", settings, observer=observer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert steps == []
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("method", "merge"), [*((one, True) for one in RECOVERY_METHODS), ("lora", False)])
def test_a_rehearsal_changes_nothing(
    dense: Path, sparse: Path, tmp_path: Path, method: RecoveryMethod, merge: bool
) -> None:
    settings = request(method, merge=merge)
    setup = prepare_recovery(str(dense if method == "lora" else sparse), conversations(), settings)
    loaded = load_setup(setup, settings)
    before = {name: one.clone() for name, one in loaded.model.state_dict().items()}
    config = loaded.model.config.to_dict()
    name = loaded.model.name_or_path
    with WorkFolder(tmp_path / "out", tmp_path / "work") as folder:
        rehearse(loaded, nonzero_masks(loaded.model), settings, folder)
    assert not list((tmp_path / "work").iterdir())
    after = loaded.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], one) and after[name].dtype == one.dtype for name, one in before.items())
    assert (loaded.model.name_or_path, loaded.model.config.to_dict()) == (name, config)
    assert not any(one._backward_hooks for one in loaded.model.parameters())


def test_the_result_can_have_more_digits_than_the_source(sparse: Path, tmp_path: Path) -> None:
    coarse = recover(
        sparse, conversations(), tmp_path / "a", request(save_dtype="bfloat16"), heldout=conversations(6, start=3)
    )
    exact = recover(
        sparse, conversations(), tmp_path / "b", request(save_dtype="float32"), heldout=conversations(6, start=3)
    )
    for name, dtype in (("a", torch.bfloat16), ("b", torch.float32)):
        weights = load_file(tmp_path / name / "model.safetensors")
        assert {one.dtype for one in weights.values()} == {dtype}
        assert AutoModelForCausalLM.from_pretrained(tmp_path / name).dtype == dtype
    assert exact["perplexity_after"] == pytest.approx(exact["perplexity_trained"], rel=1e-5)
    assert exact["merge_difference"] < 1e-5 < coarse["merge_difference"]
    assert exact["warnings"] == []
    moved = {"perplexity_trained": 6.34, "perplexity_after": 6.45}
    assert rounding_warnings(moved, torch.bfloat16) == [
        "rounding the merged weights to bfloat16 moved the perplexity from 6.3400 to 6.4500; "
        "--save-dtype float32 keeps what was trained"
    ]
    assert rounding_warnings({**moved, "perplexity_after": 6.345}, torch.bfloat16) == []
    assert rounding_warnings({"perplexity_trained": None, "perplexity_after": None}, torch.bfloat16) == []
    assert coarse["sparsity_after"] == exact["sparsity_after"] == 0.5


def test_the_model_card_contains_the_origin_of_the_rows(sparse: Path, tmp_path: Path) -> None:
    lineage = {"selection": "abc123", "ledger": {"selected": 24, "budget": 200}, "licences": ["MIT"]}
    recover(
        sparse,
        conversations(),
        tmp_path / "out",
        request(),
        heldout=conversations(4),
        context=RecoveryContext(lineage=lineage),
    )
    card = (tmp_path / "out" / "README.md").read_text()
    for text in ("- selection: abc123", "selected 24, budget 200", "MIT", "`mask_lora`", "perplexity on 4 held-out"):
        assert text in card
    stored = json.loads((tmp_path / "out" / "recovery.json").read_text())
    assert stored["lineage"] == lineage
    assert stored["method"] == "mask_lora"


def test_rows_must_use_the_template_of_the_scores(sparse: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(sparse)
    scored = Template(tokenizer, "auto", 64).digest()
    context = RecoveryContext(template_digest=scored)
    report = recover(sparse, conversations(), tmp_path / "out", request(epochs=1), context=context)
    assert report["template_digest"] == scored  # 512 requested, 64 is the model's context
    with pytest.raises(GateError, match="would be tokenised differently than for their scores"):
        recover(sparse, conversations(), tmp_path / "b", request(max_length=32), context=context)


def test_a_run_can_resume_with_smaller_passes(sparse: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    context = RecoveryContext(work=tmp_path / "work")
    stopping = Observer(should_stop=lambda: True)
    with pytest.raises(Interrupted):
        recover(sparse, conversations(), tmp_path / "out", request(), context=context, observer=stopping)
    smaller = request(batch_tokens=20, gradient_checkpointing=True)
    observer = Observer(on_step=lambda entry, _: steps.append(entry["step"]))
    recover(sparse, conversations(), tmp_path / "out", smaller, context=context, observer=observer)
    assert steps == list(range(2, 13))
    with pytest.raises(UsageError, match="'float16' has too small a range"):
        recover(sparse, conversations(), tmp_path / "b", request(dtype="float16"))


def test_unusable_inputs_are_refused(sparse: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("notes")
    with pytest.raises(UsageError, match="is not empty"):
        recover(sparse, conversations(), tmp_path / "out", request())
    with pytest.raises(InputError, match="there is no model folder"):
        recover(tmp_path / "none", conversations(), tmp_path / "new", request())
    with pytest.raises(InputError, match="none of 1 rows has a supervised token"):
        recover(sparse, [[Turn("user", "a")]], tmp_path / "new", request())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("broken", ["model", "original"])
def test_weights_that_are_no_numbers_are_unusable_input(
    dense: Path, tmp_path: Path, number: float, broken: str
) -> None:
    """Whether it is the model to train, the teacher, or the model to reconstruct from."""
    folder = shutil.copytree(dense, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = number
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    names = {"model": dense, "original": dense, broken: folder}
    for how in (request(teacher_weight=1.0), request(reconstruct=True)):
        with pytest.raises(
            InputError, match=r"broken' cannot be used: its weight model\.layers\.1\..* holds NaN or inf"
        ):
            recover(names["model"], conversations(), tmp_path / "out", how, original=names["original"])
    assert not (tmp_path / "out").exists()
    if broken == "model":
        with pytest.raises(InputError, match="cannot be used"):
            estimate(str(folder), conversations(), request())
