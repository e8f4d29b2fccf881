"""The loss in chunks: the value and every gradient of the plain loss, and as many logits as a chunk has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from references.compress import tiny_model
from torch.nn import functional
from transformers import LlamaConfig

from curate.engines.recover.methods.attach import attach
from curate.engines.recover.training.chunked_loss import sum_over_chunks
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.rows import make_batch
from curate.engines.tokens.templates import Encoded
from curate.schemas.defaults import CHUNK_LOGITS
from curate.schemas.recovery import RecoveryMethod, RecoveryRequest

if TYPE_CHECKING:
    from torch import Tensor

SIZES = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize("tokens", [1, 5, 7, 100])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("method", ["lora", "full", "perp"])
def test_every_gradient_is_that_of_the_plain_loss(
    method: RecoveryMethod, tied: bool, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(LlamaConfig(**SIZES, tie_word_embeddings=tied))
    adaptation = attach(model, method, RecoveryRequest(rank=2, dropout=0.0))
    generator = torch.Generator().manual_seed(0)
    ids = [torch.randint(50, (length,), generator=generator).numpy() for length in (9, 6)]
    batch = make_batch([Encoded(row, row >= 10) for row in ids], torch.device("cpu"))
    logits = model(batch.ids, use_cache=False).logits.flatten(0, 1)[batch.positions]
    plain = functional.cross_entropy(logits, batch.targets, reduction="sum")
    parameters = list(adaptation.trainable.values())
    expected = torch.autograd.grad(plain / 7, parameters)
    monkeypatch.setitem(CHUNK_LOGITS, "cpu", tokens * 50)
    loss = response_loss(model, batch)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for one, other in zip(torch.autograd.grad(loss / 7, parameters), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    with torch.inference_mode():
        assert response_loss(model, batch).item() == pytest.approx(plain.item(), rel=1e-5)


def test_no_chunk_has_more_logits_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHUNK_LOGITS, "cpu", 350)
    states = torch.randn(23, 4, requires_grad=True)
    seen: list[tuple[int, int]] = []

    def loss(part: Tensor, start: int, stop: int) -> Tensor:
        seen.append((start, len(part)))
        return part.square().sum()

    sum_over_chunks(loss, states, 50, []).backward()
    assert seen == [(0, 7), (7, 7), (14, 7), (21, 2)]
    assert states.grad is not None
    assert torch.equal(states.grad, 2 * states)
