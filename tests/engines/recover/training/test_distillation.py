"""Distillation: the mixed loss equals the reference, and a recovery that uses the original model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model, tiny_tokenizer
from references.recover import mixed_loss, predictions_of
from transformers import LlamaConfig

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.recover import recover
from curate.engines.recover.training.distillation import DistillationLoss
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.rows import encode_rows, make_batch
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.defaults import CHUNK_LOGITS
from curate.schemas.errors import InputError, UsageError
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.tokens.templates import Encoded


def llama(**changes: Any) -> LlamaConfig:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return LlamaConfig(**{**sizes, **heads, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **changes})


def conversations(n: int = 16) -> list[list[Turn]]:
    words = [*WORDS, *WORDS]
    return [[Turn("user", " ".join(words[i : i + 3])), Turn("assistant", words[i])] for i in range(n)]


def rows(n: int = 16) -> list[Encoded]:
    return encode_rows(Template(tiny_tokenizer(), "auto", 64), conversations(n))[0]


def pruned() -> PreTrainedModel:
    model = tiny_model(llama())
    prune_magnitude(model, sparsity=0.5)
    return model


@pytest.mark.parametrize("top", [None, 4, 32])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_mixed_loss_is_cross_entropy_and_divergence(
    weight: float, top: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, model, encoded = tiny_model(llama()), pruned(), rows()
    expected = mixed_loss(model, original, encoded, weight, top)
    batch, loss = make_batch(encoded, torch.device("cpu")), DistillationLoss(predictions_of(original, top), weight)
    whole = loss(model, batch)
    assert whole.item() == pytest.approx(expected, rel=1e-5)
    gradients = torch.autograd.grad(whole, list(model.parameters()))
    assert all(bool(one.isfinite().all()) for one in gradients)
    monkeypatch.setitem(CHUNK_LOGITS, "cpu", 7 * 32)
    chunked = loss(model, batch)
    assert chunked.item() == pytest.approx(expected, rel=1e-5)
    again = torch.autograd.grad(chunked, list(model.parameters()))
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(gradients, again, strict=True))


def test_the_top_k_divergence_is_a_lower_bound_that_grows_with_k() -> None:
    original, model, batch = tiny_model(llama(), 1), pruned(), make_batch(rows(), torch.device("cpu"))
    values = [
        DistillationLoss(predictions_of(original, top), 1.0)(model, batch).item() for top in (1, 2, 8, 31, 32, None)
    ]
    assert values[0] > 0
    assert all(a <= b * (1 + 1e-6) for a, b in zip(values, values[1:], strict=False))
    assert values[-2] == pytest.approx(values[-1], rel=1e-5)


def test_weight_zero_is_ordinary_training_and_the_model_itself_has_no_divergence() -> None:
    model, batch = pruned(), make_batch(rows(), torch.device("cpu"))
    assert DistillationLoss(predictions_of(tiny_model(llama())), 0.0)(model, batch).item() == pytest.approx(
        response_loss(model, batch).item(), rel=1e-5
    )
    assert DistillationLoss(predictions_of(pruned()), 1.0)(model, batch).item() == pytest.approx(0.0, abs=1e-4)


@pytest.mark.slow
def test_a_recovery_with_reconstruction_and_teacher(tmp_path: Path) -> None:
    dense = save_tiny(tiny_model(llama()), tmp_path / "dense")
    compress(dense, tmp_path / "half", CompressionRequest("magnitude", sparsity=0.5))
    fast: dict[str, Any] = {"rank": 2, "batch": 8, "learning_rate": 1e-2}
    both = RecoveryRequest(**fast, epochs=1, reconstruct=True, teacher_weight=0.5)
    report = recover(
        tmp_path / "half", conversations(), tmp_path / "out", both, heldout=conversations(), original=dense
    )
    assert report["sparsity_before"] == report["sparsity_after"] == 0.5
    assert all(one["after"] < one["before"] for one in report["reconstruction"])
    assert len(report["reconstruction"]) == 3
    assert not (tmp_path / "out" / "adapter").exists()
    reconstruction_only = RecoveryRequest(**fast, epochs=0, reconstruct=True)
    report = recover(
        tmp_path / "half",
        conversations(),
        tmp_path / "alone",
        reconstruction_only,
        heldout=conversations(),
        original=dense,
    )
    assert (report["steps"], report["metrics"], report["loss_last"]) == (0, [], None)
    assert report["perplexity_after"] == pytest.approx(report["perplexity_reconstructed"], rel=1e-4)


def test_unusable_originals_and_requests_are_refused(tmp_path: Path) -> None:
    half = save_tiny(pruned(), tmp_path / "half")
    wide = save_tiny(tiny_model(llama(vocab_size=40)), tmp_path / "wide")
    for changes, piece in (({"reconstruct": True}, "--reconstruct"), ({"teacher_weight": 0.5}, "--teacher original")):
        with pytest.raises(UsageError, match=f"{piece} needs the model before compression"):
            recover(half, conversations(), tmp_path / "out", RecoveryRequest(**changes))
    with pytest.raises(InputError, match="32 ids"):
        recover(half, conversations(), tmp_path / "out", RecoveryRequest(teacher_weight=0.5), original=wide)
    with pytest.raises(UsageError, match="merge"):
        RecoveryRequest(reconstruct=True, merge=False)
    with pytest.raises(UsageError, match="epochs 0"):
        RecoveryRequest(epochs=0)
    with pytest.raises(UsageError, match=r"teacher_weight 2 is not in \[0, 1\]"):
        RecoveryRequest(teacher_weight=2)
