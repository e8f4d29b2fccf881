"""Recovery at several widths: the masked model is the narrower one, and one adapter serves all sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.width.channels import mlp_channels
from curate.engines.compress.width.elastic import ELASTIC
from curate.engines.recover import Observer, RecoveryContext, recover
from curate.engines.recover.estimate import estimate
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.observer import Interrupted
from curate.engines.recover.training.elastic_widths import ElasticWidths
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, UsageError
from curate.schemas.recovery import RECOVERY_METHODS, RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

SHARES = (1.0, 0.75, 0.5)
CHANNELS = 32
ROWS = [[Turn("user", " ".join(WORDS[i % 16 : i % 16 + 3])), Turn("assistant", WORDS[i % 20])] for i in range(24)]
IDS = torch.tensor([[1, 4, 7, 9, 12, 2]])
ENDS: dict[str, Any] = {"vocab_size": 32, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
CONFIGS = {
    "llama": LlamaConfig(
        hidden_size=16, intermediate_size=CHANNELS, num_hidden_layers=2, num_attention_heads=4, **ENDS
    ),
    "gpt2": GPT2Config(n_embd=16, n_inner=CHANNELS, n_layer=2, n_head=2, n_positions=64, **ENDS),
}


def sorted_folder(folder: Path, name: str = "llama") -> Path:
    save_tiny(tiny_model(CONFIGS[name]), folder / "whole")
    compress(folder / "whole", folder / "sorted", CompressionRequest("sort"), calibration=ROWS)
    return folder / "sorted"


def request(**changes: Any) -> RecoveryRequest:
    settings: dict[str, Any] = {"rank": 2, "batch": 6, "epochs": 3, "learning_rate": 1e-2, "checkpoint_steps": 2}
    return RecoveryRequest(**{**settings, "elastic": SHARES, **changes})


@pytest.mark.parametrize("name", CONFIGS)
def test_a_masked_model_is_the_truncated_one(tmp_path: Path, name: str) -> None:
    folder = sorted_folder(tmp_path, name)
    compress(folder, tmp_path / "half", CompressionRequest("truncate", sparsity=0.5))
    model = AutoModelForCausalLM.from_pretrained(folder)
    widths = ElasticWidths([mlp.out.name for mlp in mlp_channels(model)], CHANNELS, SHARES, 0)
    half = AutoModelForCausalLM.from_pretrained(tmp_path / "half")
    with torch.no_grad(), widths.hooked(model):
        whole = model(IDS).logits
        with widths.at(widths.widths[0.5]):
            torch.testing.assert_close(model(IDS).logits, half(IDS).logits)
        assert torch.equal(model(IDS).logits, whole)
    assert not torch.allclose(whole, half(IDS).logits, atol=1e-4)


@pytest.mark.parametrize("method", [one for one in RECOVERY_METHODS if one != "perp"])
def test_channels_beyond_the_width_get_no_gradient(tmp_path: Path, method: Any) -> None:
    """Every method replaces or keeps the projection; a hook that is not called would train all channels."""
    model = AutoModelForCausalLM.from_pretrained(sorted_folder(tmp_path))
    widths = ElasticWidths([mlp.out.name for mlp in mlp_channels(model)], CHANNELS, SHARES, 0)
    adaptation = attach(model, method, request(dropout=0.0))
    for name, one in adaptation.trainable.items():  # LoRA starts at B = 0, where A has no gradient
        if "lora" in method and one.requires_grad:
            one.data.add_(0.1 * torch.randn(one.shape, generator=torch.Generator().manual_seed(len(name))))
    with widths.hooked(model), widths.at(16):
        model(IDS, labels=IDS).loss.backward()
    into_down = {name: one for name, one in adaptation.trainable.items() if "down_proj" in name and one.shape[-1] == 32}
    out_of_gate = {name: one for name, one in adaptation.trainable.items() if "gate_proj" in name and len(one) == 32}
    assert into_down
    assert out_of_gate
    for one in into_down.values():
        assert one.grad is not None
        assert torch.count_nonzero(one.grad[:, 16:]) == 0
        assert torch.count_nonzero(one.grad[:, :16]) > 0
    for one in out_of_gate.values():
        assert one.grad is not None
        assert torch.count_nonzero(one.grad[16:]) == 0
        assert torch.count_nonzero(one.grad[:16]) > 0


def test_widths_are_drawn_by_their_rank_and_follow_from_seed_and_step() -> None:
    widths = ElasticWidths(["down"], 1000, (1.0, 0.85, 0.7), 3)
    assert widths.widths == {0.7: 704, 0.85: 848, 1.0: 1000}
    drawn = np.array([widths.of_step(step) for step in range(3000)])
    odds = np.exp(-0.1 * np.arange(3))
    for kept, share in zip((704, 848, 1000), odds / odds.sum(), strict=True):
        assert (drawn == kept).mean() == pytest.approx(share, abs=3 * (share * (1 - share) / 3000) ** 0.5)
    again = ElasticWidths(["down"], 1000, (0.7, 1.0, 0.85), 3)
    assert [again.of_step(step) for step in (5, 2, 9)] == drawn[[5, 2, 9]].tolist()
    assert [ElasticWidths(["down"], 1000, (0.7, 1.0), 4).of_step(step) for step in range(30)] != drawn[:30].tolist()


def test_one_recovery_serves_several_widths(tmp_path: Path) -> None:
    folder = sorted_folder(tmp_path)
    report = recover(folder, ROWS, tmp_path / "out", request(), heldout=ROWS[:6])
    assert [(one["share"], one["channels"]) for one in report["elastic"]] == [(1.0, 32), (0.75, 24), (0.5, 16)]
    assert sum(one["steps"] for one in report["elastic"]) == report["steps"] == 12
    assert all(one["perplexity_after"] < one["perplexity_before"] for one in report["elastic"])
    assert report["elastic"][0]["perplexity_before"] == pytest.approx(report["perplexity_before"])
    assert (tmp_path / "out" / ELASTIC).read_bytes() == (folder / ELASTIC).read_bytes()
    compress(tmp_path / "out", tmp_path / "small", CompressionRequest("truncate", sparsity=0.5))
    small = recover(tmp_path / "small", ROWS, tmp_path / "again", request(elastic=(), epochs=0.1), heldout=ROWS[:6])
    assert small["perplexity_before"] == pytest.approx(report["elastic"][2]["perplexity_after"], rel=1e-3)


def test_a_resumed_recovery_draws_the_same_widths(tmp_path: Path) -> None:
    folder = sorted_folder(tmp_path)
    whole = recover(folder, ROWS, tmp_path / "uninterrupted", request())

    steps: list[int] = []
    stopping = Observer(on_step=lambda entry, _: steps.append(entry["step"]), should_stop=lambda: len(steps) == 5)
    context = RecoveryContext(work=tmp_path / "work")
    with pytest.raises(Interrupted):
        recover(folder, ROWS, tmp_path / "resumed", request(), context=context, observer=stopping)
    resumed = recover(folder, ROWS, tmp_path / "resumed", request(), context=context)
    assert resumed["elastic"] == whole["elastic"]
    files = [tmp_path / name / "model.safetensors" for name in ("uninterrupted", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_model_that_is_not_sorted_is_refused_before_training(tmp_path: Path) -> None:
    sorted_folder(tmp_path)
    with pytest.raises(InputError, match=r"has no elastic.json.*--method sort"):
        recover(tmp_path / "whole", ROWS, tmp_path / "out", request())
    with pytest.raises(InputError, match=r"has no elastic.json"):
        estimate(str(tmp_path / "whole"), ROWS, request())
    with pytest.raises(UsageError, match=r"elastic 0.5 are not shares in \(0, 1\] with 1 among them"):
        request(elastic=(0.5,))
