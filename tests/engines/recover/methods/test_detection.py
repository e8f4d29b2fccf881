"""The compression of a model is detected from its weights, and decides the recovery method."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from models import save_llama
from references.compress import tiny_model
from references.recover import nm_loop
from safetensors.torch import save_file
from transformers import Gemma3TextConfig

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.masks import drop_per_group, parse_pattern
from curate.engines.models.zero_patterns import GROUPS, describe_matrix
from curate.engines.recover import inspect_model, recover
from curate.engines.recover.methods.choice import choose_method
from curate.engines.recover.methods.config_sizes import smaller_sizes
from curate.engines.recover.methods.detection import ROUNDED, detect, quantisation_of
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError, InputError, UsageError
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[Turn("user", "say hello"), Turn("assistant", "hello again")]] * 4


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("dense") / "model")


def pruned(pattern: str | float, size: int = 64) -> dict[str, torch.Tensor]:
    """Return random matrices of two layers, with a share or an N:M pattern of zeros."""
    torch.manual_seed(1)
    weights = {}
    for layer in range(2):
        matrix = torch.randn(size, size)
        if isinstance(pattern, str):
            matrix *= drop_per_group(matrix.abs(), parse_pattern(pattern))
        else:
            matrix *= torch.rand(size, size) >= pattern
        weights[f"model.layers.{layer}.q.weight"] = matrix
    return weights


@pytest.mark.parametrize("pattern", ["2:4", "1:2", "1:4", "4:8", "3:4", "2:8", "8:16"])
def test_patterns_are_detected(pattern: str) -> None:
    findings = detect(pruned(pattern).items(), {})
    assert (findings.pattern, findings.kinds) == (pattern, ("n:m",))
    kept, group = map(int, pattern.split(":"))
    assert findings.sparsity == pytest.approx(1 - kept / group)
    transposed = {name: matrix.T.contiguous() for name, matrix in pruned(pattern).items()}
    assert detect(transposed.items(), {}).pattern == pattern  # GPT-2 stores inputs first


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.98])
def test_scattered_zeros_have_no_pattern(share: float) -> None:
    findings = detect(pruned(share, 256).items(), {})
    assert (findings.pattern, findings.kinds) == (None, ("unstructured",))
    assert findings.sparsity == pytest.approx(share, abs=0.01)


def test_group_maxima_match_the_loop() -> None:
    matrix = pruned(0.6, 32)["model.layers.0.q.weight"]
    most = describe_matrix("a.0.b", 0, matrix).max_nonzero
    assert most[0] == tuple(nm_loop(matrix, group) for group in GROUPS)
    assert most[1] == tuple(nm_loop(matrix.T, group) for group in GROUPS)


def test_every_kind_of_compression_is_detected_in_a_folder(dense: Path, tmp_path: Path) -> None:
    assert inspect_model(str(dense)).kinds == ("dense",)
    compress(dense, tmp_path / "half", CompressionRequest("magnitude", sparsity=0.5))
    compress(dense, tmp_path / "nm", CompressionRequest("magnitude", pattern="2:4"))
    compress(dense, tmp_path / "short", CompressionRequest("blocks", n_blocks=1), calibration=ROWS)
    assert inspect_model(str(tmp_path / "half")).kinds == ("unstructured",)
    assert inspect_model(str(tmp_path / "half")).sparsity == 0.5
    assert inspect_model(str(tmp_path / "nm")).pattern == "2:4"
    assert inspect_model(str(tmp_path / "short")).kinds == ("dense",)
    findings = inspect_model(str(tmp_path / "short"), str(dense))
    assert (findings.kinds, findings.layers, findings.layers_removed) == (("blocks-removed",), 1, 1)
    assert "1 of 2 layers removed" in findings.sentence()
    json.dumps(findings.to_json())


def test_smaller_sizes_are_detected_beside_the_original(dense: Path, tmp_path: Path) -> None:
    compress(dense, tmp_path / "narrow", CompressionRequest("width", sparsity=0.5), calibration=ROWS)
    compress(dense, tmp_path / "heads", CompressionRequest("heads", n_groups=1), calibration=ROWS)
    before = json.loads((dense / "config.json").read_text())
    for name, key, kind in (
        ("narrow", "intermediate_size", "channels-removed"),
        ("heads", "num_attention_heads", "heads-removed"),
    ):
        assert inspect_model(str(tmp_path / name)).kinds == ("dense",)
        findings = inspect_model(str(tmp_path / name), str(dense))
        now = json.loads((tmp_path / name / "config.json").read_text())[key]
        assert findings.kinds == (kind,)
        assert findings.sentence() == f"{now} of {before[key]} {kind.removesuffix('-removed')}"
        assert json.loads(json.dumps(findings.to_json()))["smaller"][0]["before"] == before[key]


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"n_embd": 8, "n_inner": 24}, {"n_embd": 8, "n_inner": None}, [("channels", 24, 32)]),
        ({"text_config": {"intermediate_size": 6}}, {"text_config": {"intermediate_size": 8}}, [("channels", 6, 8)]),
        ({"num_local_experts": 4, "intermediate_size": 8}, {"num_local_experts": 8}, [("experts", 4, 8)]),
        ({"ffn_dim": 8, "num_attention_heads": 4}, {"ffn_dim": 8, "num_attention_heads": 4}, []),
    ],
)
def test_sizes_are_found_under_the_keys_of_every_architecture(
    now: dict[str, Any], before: dict[str, Any], expected: list[tuple[str, int, int]]
) -> None:
    assert [(one.name, one.now, one.before) for one in smaller_sizes(now, before)] == expected


def test_gaps_and_nonuniform_widths_need_no_model_class() -> None:
    weights = {f"model.layers.{i}.up.weight": torch.ones(8 - i, 8) for i in (0, 1, 3)}
    findings = detect(weights.items(), {"num_hidden_layers": 3})
    assert findings.nonuniform == ("model.layers.*.up.weight",)
    assert findings.layers_removed == 1
    assert findings.kinds == ("ragged", "blocks-removed")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq 4-bit"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "bitsandbytes 4-bit"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}, "bitsandbytes 8-bit"),
        ({"quant_method": "torchao", "quant_type": "int8wo"}, "torchao 8-bit"),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}}, "torchao 8-bit"),
        (
            {"quant_method": "torchao", "quant_type": {"_type": "Int8DynamicActivationInt4WeightConfig"}},
            "torchao 4-bit",
        ),
        ({"quant_method": "fp8", "fmt": "e4m3"}, "fp8 8-bit"),
        ({"quant_method": "new"}, "new"),
    ],
)
def test_method_and_bits_of_quantised_models(config: dict[str, Any], expected: str) -> None:
    assert quantisation_of({"quantization_config": config}) == expected
    assert detect([], {"quantization_config": config}).kinds == ("quantised",)
    assert quantisation_of({}) is None


def test_an_adapter_is_detected_with_its_base(dense: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(dense)}))
    save_file({"a": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    findings = inspect_model(str(tmp_path))
    assert (findings.kinds, findings.adapter_base, findings.layers) == (("adapter",), str(dense), 2)


def test_unusable_folders_are_refused(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model folder"):
        inspect_model(str(tmp_path / "none"))
    broken = shutil.copytree(dense, tmp_path / "broken")
    (broken / "config.json").write_text("[]")
    with pytest.raises(InputError, match="not a JSON object"):
        inspect_model(str(broken))
    cut = shutil.copytree(dense, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((dense / "model.safetensors").read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read"):
        inspect_model(str(cut))


def test_a_quantised_folder_is_detected_and_never_merged_into(dense: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dense, tmp_path / "quantised")
    stored = json.loads((folder / "config.json").read_text())
    bits = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps({**stored, "quantization_config": bits}))
    assert inspect_model(str(folder)).quantisation == "bitsandbytes 4-bit"
    with pytest.raises(GateError, match="cannot be merged into a quantised model"):
        recover(folder, ROWS, tmp_path / "out", RecoveryRequest())


def rounded_to_grid(matrix: torch.Tensor, bits: int, block: int = 32, offset: bool = False) -> torch.Tensor:
    """Return a matrix rounded as a quantiser does: each block of neighbours to 2^bits values between its extremes."""
    blocks = matrix.reshape(-1, block)
    if offset:  # from the smallest to the largest, as Q4_1
        low = blocks.amin(1, keepdim=True)
        step = (blocks.amax(1, keepdim=True) - low) / (2**bits - 1)
        # K-quants store the offset as a multiple of a step, so that zero is one of the values.
        low = (low / step).round() * step
    else:
        step, low = blocks.abs().amax(1, keepdim=True) / 2 ** (bits - 1), torch.zeros(1)
    levels = torch.round((blocks - low) / step)
    return torch.reshape(levels * step + low, matrix.shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("bits", "block", "offset"),
    [(2, 16, True), (3, 16, True), (4, 32, False), (4, 32, True), (5, 32, True), (6, 16, False)],
)
def test_zeros_of_a_quantiser_are_no_pattern(dtype: torch.dtype, bits: int, block: int, offset: bool) -> None:
    dense = pruned(0.0, 256)
    weights = {name: rounded_to_grid(one, bits, block, offset).to(dtype) for name, one in dense.items()}
    share = float((weights["model.layers.0.q.weight"] == 0).double().mean())
    findings = detect(weights.items(), {})
    assert share > 0.01
    assert (findings.kinds, findings.sparsity, findings.pattern) == (("dense",), 0.0, None)
    assert findings.dequantised == ROUNDED
    assert "its zeros are rounding and no pruning pattern" in findings.sentence()
    assert choose_method(RecoveryRequest(), findings)[0] == "lora"


@pytest.mark.parametrize("pattern", [0.3, 0.5, 0.9, "2:4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("quantised_before", [False, True])
def test_pruned_weights_stay_pruned(pattern: str | float, dtype: torch.dtype, quantised_before: bool) -> None:
    weights = pruned(pattern, 256)
    if quantised_before:
        dense = {name: rounded_to_grid(one, 4) for name, one in pruned(0.0, 256).items()}
        weights = {name: dense[name] * (one != 0) for name, one in weights.items()}
    findings = detect({name: one.to(dtype) for name, one in weights.items()}.items(), {})
    assert findings.sparse
    assert findings.dequantised is None


def test_a_dequantised_gemma_is_dense_and_recovers_by_lora(tmp_path: Path) -> None:
    """Without a record of where the weights come from, as other converters leave it."""
    sizes = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
    model = tiny_model(Gemma3TextConfig(**sizes, **heads, tie_word_embeddings=True))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.copy_(rounded_to_grid(weight, 4, offset=True))
                assert float((weight == 0).double().mean()) > 0.01, name
    folder = save_llama(tmp_path / "gemma")
    model.save_pretrained(folder)
    findings = inspect_model(str(folder))
    assert (findings.kinds, findings.dequantised) == (("dense",), ROUNDED)
    # A merged adapter may fill such zeros.
    report = recover(folder, ROWS, tmp_path / "out", RecoveryRequest(rank=2, batch=4, epochs=1))
    assert (report["method"], report["merged"]) == ("lora", True)


GPTQ = {"quantization_config": {"quant_method": "gptq", "bits": 4}}


@pytest.mark.parametrize(
    ("findings", "merge", "method", "reason"),
    [
        (detect(pruned(0.5).items(), {}), True, "mask_lora", "would fill the zeros"),
        (detect(pruned("2:4").items(), {}), True, "mask_lora", "2:4 sparse"),
        (detect(pruned(0.0).items(), {}), True, "lora", "no zeros to keep"),
        (detect([], GPTQ), False, "lora", "quantised (gptq 4-bit)"),
    ],
)
def test_auto_chooses_a_method_with_a_reason(findings: Any, merge: bool, method: str, reason: str) -> None:
    chosen, explanation = choose_method(RecoveryRequest(merge=merge), findings)
    assert chosen == method
    assert reason in explanation


@pytest.mark.parametrize(
    ("findings", "request_", "message"),
    [
        (detect(pruned(0.5).items(), {}), {"method": "lora"}, r"fill the model's zeros \(.*use --method mask_lora"),
        (detect([], GPTQ), {}, "cannot be merged into a quantised model"),
        (detect([], GPTQ), {"elastic": (1.0, 0.5), "merge": False}, "--elastic needs the weights themselves"),
        (detect([], GPTQ), {"method": "mask_lora", "merge": False}, "use --method lora --no-merge"),
        (detect(pruned(0.5).items(), {}, adapter_base="b"), {}, "the adapter's base 'b' is sparse"),
        (
            detect([], GPTQ, adapter_base="b"),
            {"merge": False},
            "over 'b'.* recover the base itself with --method lora",
        ),
        (detect(pruned(0.0).items(), {}, adapter_base="b"), {"merge": False}, "over 'b'.* omit --no-merge"),
    ],
)
def test_methods_that_would_destroy_the_compression_are_refused(
    findings: Any, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(GateError, match=message):
        choose_method(RecoveryRequest(**request_), findings)


@pytest.mark.parametrize("method", ["auto", "mask_lora", "scale_lora", "perp", "full"])
def test_what_peft_cannot_hold_is_not_trained_without_merging(dense: Path, tmp_path: Path, method: str) -> None:
    compress(dense, tmp_path / "half", CompressionRequest("magnitude", sparsity=0.5))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(
        UsageError, match="PEFT adds a product of two matrices .* omit --no-merge, or pass --method lora"
    ):
        recover(tmp_path / "half", ROWS, tmp_path / "out", RecoveryRequest(method=method, merge=False))
    assert sorted(tmp_path.iterdir()) == before
