"""Rows of a training: with prompts, every token that anything predicts counts in the loss, not in a perplexity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model
from torch.nn import functional
from transformers import LlamaConfig, PreTrainedModel

from curate.engines.compress import CompressionRequest, compress
from curate.engines.models.loading import load_model
from curate.engines.recover import recover
from curate.engines.recover.prepare import RecoverySetup, prepare_recovery
from curate.engines.recover.training.distillation import DistillationLoss
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.original_predictions import PredictionCache, predict_rows
from curate.engines.recover.training.rows import make_batch
from curate.engines.score.reduction import ResponseStates
from curate.schemas.corpus import Turn
from curate.schemas.recovery import RecoveryRequest

CPU = torch.device("cpu")
REQUEST = RecoveryRequest(method="full", teacher_weight=1.0, prompts=True, batch=4, epochs=1, learning_rate=1e-2)
TURNS = [
    [Turn("user", " ".join((WORDS * 2)[i : i + 2 + i % 4])), Turn("assistant", " ".join(WORDS[i : i + 1 + i % 3]))]
    for i in range(8)
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the folders of an original and of its copy with a layer less."""
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    folder = tmp_path_factory.mktemp("pair")
    config = LlamaConfig(**sizes, **heads, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    dense = save_tiny(tiny_model(config), folder / "dense")
    compress(dense, folder / "short", CompressionRequest("blocks", path="0,2"))
    return str(dense), str(folder / "short")


def prepared(pair: tuple[str, str], prompts: bool) -> RecoverySetup:
    request = RecoveryRequest(**{**REQUEST.to_json(), "prompts": prompts, "parts": REQUEST.parts})
    return prepare_recovery(pair[1], TURNS, request, heldout=TURNS, original=pair[0])


def log_p(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Return the log probabilities of what follows every token but the last, one row at a time."""
    with torch.no_grad():
        predicted: torch.Tensor = model(ids[None]).logits[0, :-1].float().log_softmax(-1)
    return predicted


def test_every_token_but_the_first_counts(pair: tuple[str, str]) -> None:
    plain, whole = prepared(pair, False), prepared(pair, True)
    for before, after in zip(plain.rows, whole.rows, strict=True):
        assert after.ids.tolist() == before.ids.tolist()
        assert after.supervised.tolist() == [False] + [True] * (len(after.ids) - 1)
        assert after.n_response > before.n_response
    assert [row.n_response for row in whole.heldout] == [row.n_response for row in plain.heldout]


def test_both_losses_are_those_of_whole_rows(pair: tuple[str, str], tmp_path: Path) -> None:
    setup = prepared(pair, True)
    original, model = (load_model(Path(folder), CPU, torch.float32) for folder in pair)
    tokens = [torch.from_numpy(row.ids) for row in setup.rows]
    ours = [log_p(model, ids) for ids in tokens]
    theirs = [log_p(original, ids) for ids in tokens]
    divergence = sum(float((p.exp() * (p - q)).sum()) for p, q in zip(theirs, ours, strict=True))
    entropy = sum(float(functional.nll_loss(q, ids[1:], reduction="sum")) for q, ids in zip(ours, tokens, strict=True))
    batch = make_batch(setup.rows, CPU)
    predictions = predict_rows(setup, pair[0], REQUEST, PredictionCache(tmp_path, "original"), setup.rows)
    assert DistillationLoss(predictions.lookup, 1.0)(model, batch).item() == pytest.approx(divergence, rel=1e-4)
    assert response_loss(model, batch).item() == pytest.approx(entropy, rel=1e-4)


def test_the_loss_in_words_names_prompts() -> None:
    assert REQUEST.loss == "divergence from the original's predictions (KL), prompts included"
    assert RecoveryRequest(prompts=True).loss == "cross-entropy of the answers, prompts included"


def test_predictions_of_responses_do_not_serve_whole_rows(pair: tuple[str, str], tmp_path: Path) -> None:
    cache = PredictionCache(tmp_path, "original")
    for prompts in (False, True, False):
        setup = prepared(pair, prompts)
        states = predict_rows(setup, pair[0], REQUEST, cache, setup.rows).lookup(setup.rows)
        assert isinstance(states, ResponseStates)
        assert len(states.hidden) == sum(row.n_response for row in setup.rows)


def test_a_recovery_on_prompts_comes_closer_to_the_original_there(pair: tuple[str, str], tmp_path: Path) -> None:
    reports = {}
    for name, prompts in (("answers", False), ("all", True)):
        request = RecoveryRequest(
            method="full", teacher_weight=1.0, prompts=prompts, batch=4, epochs=6, learning_rate=1e-2
        )
        reports[name] = recover(pair[1], TURNS, tmp_path / name, request, heldout=TURNS, original=pair[0])
    assert reports["all"]["perplexity_before"] == reports["answers"]["perplexity_before"]
    original = load_model(Path(pair[0]), CPU, torch.float32)
    distances = {}
    for name in reports:
        model = load_model(tmp_path / name, CPU, torch.float32)
        rows = [torch.from_numpy(row.ids) for row in prepared(pair, True).rows]
        both = [(log_p(original, ids), log_p(model, ids)) for ids in rows]
        distances[name] = sum(float((p.exp() * (p - q)).sum()) for p, q in both)
    assert distances["all"] < 0.9 * distances["answers"]
