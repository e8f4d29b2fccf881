"""Weights of groups follow the distance of their losses from the original's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from references.compress import WORDS, tiny_model, tiny_tokenizer
from references.recover import mean_nll
from transformers import LlamaConfig

from curate.engines.recover.methods.attach import attach
from curate.engines.recover.observer import Interrupted, Observer
from curate.engines.recover.training.checkpoints import Checkpoints
from curate.engines.recover.training.group_rows import read_group_weights
from curate.engines.recover.training.group_weights import GroupWeights
from curate.engines.recover.training.loop import train
from curate.engines.recover.training.objective import Objective, ordinary_loss
from curate.engines.recover.training.rows import encode_rows
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, UsageError
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.tokens.templates import Encoded

SIZES: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
REQUEST = RecoveryRequest(
    method="full", batch=5, epochs=2, learning_rate=1e-2, batch_tokens=40, checkpoint_steps=2, reweigh_steps=3
)


def rows() -> list[Encoded]:
    turns = [[Turn("user", WORDS[i]), Turn("assistant", " ".join(WORDS[i : i + 1 + i % 3]))] for i in range(15)]
    return encode_rows(Template(tiny_tokenizer(), "auto", 64), turns)[0]


def groups_of(encoded: list[Encoded], steps: int = 3) -> GroupWeights:
    tokens = np.array([item.n_response for item in encoded])
    return GroupWeights(("a", "b", "c"), np.arange(len(encoded)) % 3, tokens, 0.5 * tokens, steps)


def adapted() -> Adaptation:
    return attach(tiny_model(LlamaConfig(**SIZES)), "full", REQUEST)


def test_an_update_multiplies_by_the_exponential_of_the_excess() -> None:
    groups = GroupWeights(("a", "b"), np.array([0, 0, 1]), np.array([2, 4, 6]), np.array([2.0, 4.0, 12.0]), 2)
    groups.add([0, 2], np.array([5.0, 6.0]))
    groups.after_step(1)
    assert groups.weights.tolist() == [1.0, 1.0]
    groups.add([1], np.array([7.0, 0.0]))
    groups.after_step(2)
    # Excess of a: (12 − 6) / 6 tokens; of b: (6 − 12) / 6 < 0, which counts as 0.
    raw = np.exp([1.0, 0.0])
    assert groups.weights == pytest.approx(raw / (0.5 * raw[0] + 0.5 * raw[1]))
    groups.add([2], np.array([0.0, 15.0]))
    groups.after_step(4)
    # a was not seen, and keeps its excess; b's is (15 − 12) / 6.
    raw = np.exp([2.0, 0.5])
    assert groups.weights == pytest.approx(raw / raw.mean())


def test_a_step_is_weighted_and_reports_the_losses_of_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    adaptation, encoded = adapted(), rows()
    request = RecoveryRequest(method="full", batch=15, epochs=1, batch_tokens=30, reweigh_steps=1)
    groups = groups_of(encoded, steps=1)
    groups.log_weight = np.array([0.0, -1.0, -2.0])
    weights = groups.weights
    counts = np.array([item.n_response for item in encoded])
    assert float(weights[groups.of] @ counts) == pytest.approx(counts.sum())
    by_group = [mean_nll(adaptation.model, encoded[k::3]) * int(counts[k::3].sum()) for k in range(3)]
    weighted = [float(w) * one for w, one in zip(weights, by_group, strict=True)]
    expected = torch.stack(weighted).sum() / int(counts.sum())
    gradients = torch.autograd.grad(expected, list(adaptation.trainable.values()), retain_graph=True)
    taken: list[torch.Tensor] = []

    def take(parameters: Any, _: float) -> torch.Tensor:
        taken.extend(one.grad.clone() for one in parameters)
        return torch.ones(())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", take)
    progress = train(adaptation, encoded, request, objective=Objective(ordinary_loss(adaptation.model), groups=groups))
    assert progress.metrics[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)
    for got, gradient in zip(taken, gradients, strict=True):
        assert torch.allclose(got, gradient, rtol=1e-3, atol=1e-6)
    excess = [max(0.0, float(one) / int(counts[k::3].sum()) - 0.5) for k, one in enumerate(by_group)]
    assert groups.excess.tolist() == pytest.approx(excess, rel=1e-5)


def test_a_stopped_run_goes_on_with_the_same_weights(tmp_path: Path) -> None:
    encoded = rows()

    def run(checkpoints: Checkpoints | None, stop_at: int | None = None) -> tuple[list[torch.Tensor], list[float]]:
        adaptation, groups, seen = adapted(), groups_of(encoded), []
        observer = Observer(
            on_step=lambda entry, _: seen.append(entry["step"]), should_stop=lambda: seen[-1:] == [stop_at]
        )
        minimised = Objective(ordinary_loss(adaptation.model), groups=groups)
        train(adaptation, encoded, REQUEST, checkpoints=checkpoints, objective=minimised, observer=observer)
        return [one.detach().clone() for one in adaptation.trainable.values()], groups.weights.tolist()

    expected, weights = run(None)
    with pytest.raises(Interrupted):
        run(Checkpoints(tmp_path, "c"), stop_at=4)
    found, again = run(Checkpoints(tmp_path, "c"))
    assert again == weights
    assert len(set(weights)) == 3
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert json.dumps(groups_of(encoded).state())


def test_groups_come_with_the_rows() -> None:
    encoded = rows()
    names, nll = [f"g{i % 2}" for i in range(15)], [0.1 * i for i in range(15)]
    batch = pa.RecordBatch.from_pydict({"group": names, "nll_original": nll})
    groups = read_group_weights([batch.slice(0, 4), batch.slice(4)], encoded, REQUEST)
    assert groups is not None
    assert (groups.names, groups.of.tolist()) == (("g0", "g1"), [i % 2 for i in range(15)])
    assert groups.original.tolist() == pytest.approx([0.1 * i * item.n_response for i, item in enumerate(encoded)])
    half = RecoveryRequest(reweigh_steps=3, teacher_weight=0.5)
    taught = read_group_weights([batch], encoded, half)
    assert taught is not None
    assert taught.original.tolist() == pytest.approx((groups.original / 2).tolist())
    assert read_group_weights([batch], encoded, RecoveryRequest()) is None
    with pytest.raises(InputError, match="known for 14 rows, and 15 are trained on"):
        read_group_weights([batch.slice(1)], encoded, REQUEST)


def test_requests_without_the_new_settings_keep_their_json() -> None:
    assert not {"token_share", "prompts", "reweigh_steps"} & RecoveryRequest().to_json().keys()
    again = RecoveryRequest.from_json(RecoveryRequest(token_share=0.4).to_json())
    assert (again.token_share, RecoveryRequest.from_json(REQUEST.to_json()).reweigh_steps) == (0.4, 3)
    with pytest.raises(UsageError, match="leave out --tokens top, or --reweigh"):
        RecoveryRequest(token_share=0.4, reweigh_steps=2)
    with pytest.raises(UsageError, match="leave out --train-on-prompts, or --reweigh"):
        RecoveryRequest(prompts=True, reweigh_steps=2)
    with pytest.raises(UsageError, match=r"token_share 0 is not in \(0, 1\]"):
        RecoveryRequest(token_share=0)
