"""Training on the most diverged tokens: chosen over a whole step, by distances that are those of the two models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from references.compress import WORDS, tiny_model, tiny_tokenizer
from references.recover import predictions_of
from transformers import LlamaConfig

from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.training.distillation import DistillationLoss
from curate.engines.recover.training.loop import train
from curate.engines.recover.training.objective import Objective, ordinary_loss, rows_of_step
from curate.engines.recover.training.processes import SINGLE_PROCESS
from curate.engines.recover.training.rows import encode_rows
from curate.engines.recover.training.token_choice import TokenChoice, largest
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from curate.engines.tokens.templates import Encoded

SIZES: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def rows() -> list[Encoded]:
    words = [*WORDS, *WORDS]
    turns = [
        [Turn("user", " ".join(words[i : i + 2 + i % 4])), Turn("assistant", " ".join(words[i : i + 1 + i * i % 7]))]
        for i in range(14)
    ]
    return encode_rows(Template(tiny_tokenizer(), "auto", 64), turns)[0]


def pruned() -> PreTrainedModel:
    model = tiny_model(LlamaConfig(**SIZES))
    prune_magnitude(model, sparsity=0.5)
    return model


def distances_loop(model: PreTrainedModel, original: PreTrainedModel, row: Encoded, by_divergence: bool) -> list[float]:
    ids = torch.from_numpy(row.ids)[None]
    with torch.no_grad():
        log_q, log_p = (one(ids, use_cache=False).logits[0].double().log_softmax(-1) for one in (model, original))
    result = []
    for t in range(1, len(row.ids)):
        if row.supervised[t]:
            p, q, target = log_p[t - 1], log_q[t - 1], row.ids[t]
            result.append(float((p.exp() * (p - q)).sum() if by_divergence else p[target] - q[target]))
    return result


@pytest.mark.parametrize("top", [None, 32])
@pytest.mark.parametrize("by_divergence", [True, False])
def test_distances_are_those_of_the_two_models(by_divergence: bool, top: int | None) -> None:
    model, original, encoded = pruned(), tiny_model(LlamaConfig(**SIZES)), rows()
    model.train()
    for batch_tokens in (1, 60, 10_000):
        found = TokenChoice(0.4, predictions_of(original, top), by_divergence).distances(model, encoded, batch_tokens)
        for row, values in zip(encoded, found, strict=True):
            assert values.tolist() == pytest.approx(distances_loop(model, original, row, by_divergence), abs=2e-5)
    assert model.training


def test_the_tail_of_a_top_k_original_counts_as_one_token() -> None:
    model, original, encoded = pruned(), tiny_model(LlamaConfig(**SIZES)), rows()
    exact = TokenChoice(0.4, predictions_of(original), True).distances(model, encoded, 100)
    fewer = TokenChoice(0.4, predictions_of(original, 4), True).distances(model, encoded, 100)
    assert all((a <= b + 1e-5).all() for a, b in zip(fewer, exact, strict=True))


def test_the_largest_share_is_taken_with_ties_to_the_earlier() -> None:
    assert largest(np.array([1.0, 3.0, 2.0, 3.0]), 0.5).tolist() == [False, True, False, True]
    assert largest(np.array([1.0, 1.0, 1.0]), 0.4).tolist() == [True, True, False]
    assert largest(np.arange(10.0), 0.4).sum() == 4
    assert largest(np.array([1.0, math.nan]), 0.5).tolist() == [False, True]


@pytest.mark.parametrize("taught", [True, False])
@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_a_step_is_the_mean_over_its_most_diverged_tokens(
    taught: bool, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the gradient of one step with that of the chosen tokens, row by row through the whole model."""
    original, model, encoded = tiny_model(LlamaConfig(**SIZES)), pruned(), rows()
    request = RecoveryRequest(method="full", batch=14, epochs=1, batch_tokens=batch_tokens, token_share=0.4)
    adaptation = attach(model, "full", request)
    distances = [(d, i, n) for i, row in enumerate(encoded)
                 for n, d in enumerate(distances_loop(model, original, row, taught))]  # fmt: skip
    chosen = {(i, n) for _, i, n in sorted(distances, key=lambda one: -one[0])[: math.ceil(0.4 * len(distances))]}
    expected = torch.zeros(())
    for i, row in enumerate(encoded):
        log_q = model(torch.from_numpy(row.ids)[None], use_cache=False).logits[0].log_softmax(-1)
        with torch.no_grad():
            log_p = original(torch.from_numpy(row.ids)[None], use_cache=False).logits[0].log_softmax(-1)
        for n, t in enumerate(np.flatnonzero(row.supervised)):
            if (i, n) in chosen:
                p, q = log_p[t - 1], log_q[t - 1]
                expected = expected + ((p.exp() * (p - q)).sum() if taught else -q[row.ids[t]])
    expected = expected / len(chosen)
    gradients = torch.autograd.grad(expected, list(adaptation.trainable.values()))
    taken: list[torch.Tensor] = []

    def take(parameters: Any, _: float) -> torch.Tensor:
        taken.extend(one.grad.clone() for one in parameters)
        return torch.ones(())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", take)
    lookup = predictions_of(original)
    loss = (lambda batch: DistillationLoss(lookup, 1.0)(model, batch)) if taught else ordinary_loss(model)
    (step,) = train(
        adaptation, encoded, request, objective=Objective(loss, TokenChoice(0.4, lookup, taught))
    ).metrics  # fmt: skip
    assert step["loss"] == pytest.approx(expected.item(), rel=1e-4)
    for name, got, gradient in zip(adaptation.trainable, taken, gradients, strict=True):
        frozen = 1 if "proj" not in name else adaptation.trainable[name] != 0
        assert torch.allclose(got, gradient * frozen, rtol=1e-3, atol=1e-5), name


def test_processes_choose_among_the_tokens_of_all() -> None:
    """Two processes that exchange their distances choose what one chooses alone."""
    model, encoded = pruned(), rows()
    choice = TokenChoice(0.3, predictions_of(tiny_model(LlamaConfig(**SIZES))), True)
    numbers = list(range(len(encoded)))
    alone = rows_of_step(encoded, numbers, choice, model, 100, SINGLE_PROCESS)
    assert alone.kept is not None
    vectors: list[list[float]] = []

    class Half:
        """A process of two; the other's numbers are those that it gave in the first round."""

        def __init__(self, index: int) -> None:
            self.index = index

        def own_rows(self, lengths: Sequence[int]) -> list[int]:
            return list(range(len(lengths)))[self.index :: 2]

        def gather(self, *values: float) -> list[list[float]]:
            vectors.append(list(values))
            return vectors[-2:]

    for index in (0, 1):
        rows_of_step(encoded, numbers, choice, model, 100, Half(index))  # type: ignore[arg-type]
    first = rows_of_step(encoded, numbers, choice, model, 100, Half(0))  # type: ignore[arg-type]
    assert first.kept is not None
    assert first.counted == alone.counted
    for number, mask in zip(first.numbers, first.kept, strict=True):
        assert mask.tolist() == alone.kept[number].tolist()
