"""`--layers`: only the chosen decoder layers are trained, and the automatic choice finds a planted damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model
from safetensors.torch import load_file
from transformers import GPT2Config, LlamaConfig

from curate.engines.models.projections import decoder_layers
from curate.engines.recover import recover
from curate.engines.recover.estimate import estimate
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.methods.layers import furthest
from curate.schemas.corpus import Turn
from curate.schemas.errors import UsageError
from curate.schemas.recovery import RECOVERY_METHODS, RecoveryMethod, RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

ROWS = [[Turn("user", " ".join(WORDS[i : i + 3])), Turn("assistant", WORDS[i])] for i in range(12)]


def llama(layers: int = 4) -> LlamaConfig:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": layers}
    return LlamaConfig(**sizes, num_attention_heads=4, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def gpt2() -> GPT2Config:
    return GPT2Config(vocab_size=32, n_positions=64, n_embd=16, n_layer=4, n_head=2, bos_token_id=1, eos_token_id=2)


def request(method: str = "lora", layers: str = "all") -> RecoveryRequest:
    return RecoveryRequest(method=method, layers=layers, rank=2, batch=4, epochs=1, learning_rate=2e-2, dropout=0.0)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return an original, and a copy with noise in the weights of layer 2 only."""
    model = tiny_model(llama())
    original = save_tiny(model, tmp_path / "original")
    torch.manual_seed(0)
    layer = decoder_layers(model)[1][2]
    for weight in layer.parameters():
        weight.data.add_(0.3 * torch.randn_like(weight))
    return original, save_tiny(model, tmp_path / "damaged")


def layers_with_gradients(model: PreTrainedModel) -> set[int]:
    """Return the layers with a trained tensor, by walking through each layer."""
    layers = decoder_layers(model)[1]
    return {i for i, layer in enumerate(layers) if any(one.requires_grad for one in layer.parameters())}


@pytest.mark.parametrize("method", RECOVERY_METHODS)
@pytest.mark.parametrize("config", [llama(), gpt2()], ids=["llama", "gpt2"])
def test_nothing_outside_the_chosen_layers_is_trained(config: LlamaConfig, method: RecoveryMethod) -> None:
    model = tiny_model(config)
    adaptation = attach(model, method, request(method, "1,3"))
    assert layers_with_gradients(model) == {1, 3}
    inside = {id(one) for i in (1, 3) for one in decoder_layers(model)[1][i].parameters()}
    assert {id(one) for one in adaptation.trainable.values()} <= inside


def test_half_the_layers_are_half_of_an_adapter() -> None:
    numbers = [attach(tiny_model(llama()), "lora", request(layers=text)).n_trainable for text in ("all", "0,2")]
    assert numbers[0] == 2 * numbers[1] > 0


def test_perp_has_no_head_within_a_layer() -> None:
    with pytest.raises(UsageError, match=r"none of head to train \(--layers 1\)"):
        attach(tiny_model(llama()), "perp", RecoveryRequest(method="perp", parts=("head",), layers="1"))


def test_only_the_weights_of_named_layers_change(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = recover(folders[1], ROWS, tmp_path / "out", request("full", "1-2"))
    before, after = load_file(folders[1] / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    changed = {name.split(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"1", "2"}
    assert report["layers"] == [1, 2]
    assert "decoder layers trained: 1, 2" in (tmp_path / "out" / "README.md").read_text()


def test_auto_trains_the_layers_furthest_from_the_original(folders: tuple[Path, Path], tmp_path: Path) -> None:
    original, damaged = folders
    report = recover(damaged, ROWS, tmp_path / "out", request(layers="auto:2"), original=original)
    # Layers 0 and 1 equal the original's; the error begins at layer 2 and is carried on.
    assert report["layers"] == [2, 3]
    named = recover(damaged, ROWS, tmp_path / "named", request(layers="2,3"), original=original)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("out", "named")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert named["trainable"] == report["trainable"]
    plan = estimate(str(damaged), ROWS, request(layers="auto:2"), original=str(original))
    assert (plan["layers"], plan["trainable"]) == ([2, 3], report["trainable"])


def test_equal_errors_choose_the_first_layers() -> None:
    assert furthest([0.5, 1.0, 1.0, 0.5, 1.0], 2) == [1, 2]
    assert furthest([0.5, 1.0, 1.0, 0.5, 1.0], 4) == [0, 1, 2, 4]


def test_layers_that_are_not_there_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    original, damaged = folders
    for text, message in (("4", "not among 0 to 3"), ("3-1", "not among"), ("auto:5", "more than the 4")):
        with pytest.raises(UsageError, match=message):
            recover(damaged, ROWS, tmp_path / "out", request(layers=text), original=original)
    with pytest.raises(UsageError, match="pass --original FOLDER, or name the layers"):
        recover(damaged, ROWS, tmp_path / "out", request(layers="auto:2"))
    shorter = save_tiny(tiny_model(llama(3)), tmp_path / "shorter")
    with pytest.raises(UsageError, match="the original has 4, model .* 3"):
        recover(shorter, ROWS, tmp_path / "out", request(layers="auto:2"), original=original)
