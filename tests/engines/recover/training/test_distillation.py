"""Learning from the model before compression: layer-wise reconstruction, and distillation of its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model, tiny_tokenizer
from references.recover import mixed_loss
from transformers import LlamaConfig

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.models.loading import LanguageModel
from curate.engines.models.output_head import output_head
from curate.engines.models.projections import decoder_layers
from curate.engines.recover import Observer, recover
from curate.engines.recover.methods.reconstruction import reconstruct
from curate.engines.recover.methods.sparsity import nonzero_masks, share_of_zeros, verify_zeros
from curate.engines.recover.observer import Interrupted
from curate.engines.recover.training.distillation import DistillationLoss
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.rows import encode_rows, make_batch
from curate.engines.score.reduction import ResponseStates
from curate.engines.score.response_states import response_states, response_tokens
from curate.engines.score.top_k import TopKPredictions, top_k_predictions
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, UsageError
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.recover.training.distillation import PredictionLookup
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


def states_after(model: PreTrainedModel, row: Encoded) -> list[torch.Tensor]:
    """Return the output of each layer, by hooks on whole forward passes."""
    outputs: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, out: outputs.append(out)) for layer in decoder_layers(model)[1]]
    with torch.no_grad():
        model(torch.from_numpy(row.ids)[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return outputs


def errors(model: PreTrainedModel, original: PreTrainedModel) -> list[float]:
    pairs = [(states_after(model, row), states_after(original, row)) for row in rows()]
    return [
        sum(float((a[i] - b[i]).square().sum()) for a, b in pairs) / sum(float(b[i].square().sum()) for _, b in pairs)
        for i in range(3)
    ]


def test_reconstruction_reduces_every_layers_error_and_keeps_its_zeros() -> None:
    original, model = tiny_model(llama()), pruned()
    masks, before = nonzero_masks(model), errors(model, original)
    progress: list[tuple[int, int]] = []
    observer = Observer(on_layer=lambda done, layers: progress.append((done, layers)))
    reported = reconstruct(model, original, rows(), 0, observer=observer)
    after = errors(model, original)
    # The first layer's input is the same in both models, so that its error before is that of the pruned model.
    assert reported[0]["before"] == pytest.approx(before[0], rel=1e-4)
    assert [one["after"] for one in reported] == pytest.approx(after, rel=1e-4)
    assert all(a < 0.8 * b for a, b in zip(after, before, strict=True))
    assert all(one["after"] < one["before"] for one in reported)
    verify_zeros(model, masks)
    assert share_of_zeros(model) == pytest.approx(0.5)
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert not any(one.requires_grad for layer in decoder_layers(model)[1] for one in layer.parameters())


def test_a_stopped_reconstruction_resumes_to_the_same_weights(tmp_path: Path) -> None:
    original, uninterrupted, interrupted = tiny_model(llama()), pruned(), pruned()
    expected = reconstruct(uninterrupted, original, rows(), 0)
    answers = iter([False, False, True])
    observer = Observer(should_stop=lambda: next(answers))
    with pytest.raises(Interrupted, match="stopped before layer 3 of 3"):
        reconstruct(interrupted, original, rows(), 0, folder=tmp_path, observer=observer)
    resumed = pruned()
    assert reconstruct(resumed, original, rows(), 0, folder=tmp_path) == expected
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), uninterrupted.parameters(), strict=True))


def test_layers_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UsageError, match="has 3 where the original has 2"):
        reconstruct(pruned(), tiny_model(llama(num_hidden_layers=2)), rows(), 0)


def predictions_of(original: PreTrainedModel, top: int | None = None) -> PredictionLookup:
    """Return the lookup of an original in memory, without a cache."""
    head = output_head(original.eval())

    @torch.no_grad()
    def lookup(rows: Sequence[Encoded]) -> ResponseStates | TopKPredictions:
        states = response_states(LanguageModel(original, "original"), rows)
        return (
            ResponseStates(head, states)
            if top is None
            else top_k_predictions(head, states, response_tokens(rows), top, 512)
        )

    return lookup


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
    monkeypatch.setattr("curate.engines.recover.training.distillation.CHUNK_LOGITS", 2 * 7 * 32)
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
