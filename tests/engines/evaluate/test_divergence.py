"""Divergence from the original agrees with a loop over the vocabulary, and two models that do not fit are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from models import KINDS, WORDS, save_llama, save_model
from references import evaluating as slow

from curate.engines.evaluate import EvaluateConfig, Subject, check_pair, evaluate, load_subject
from curate.engines.evaluate import divergence as module
from curate.engines.evaluate.divergence import score_pair, token_divergences
from curate.engines.evaluate.texts import opening_token, windows
from curate.engines.score import signals
from curate.engines.score.reduction import ResponseStates
from curate.engines.tokens.templates import Encoded, Template
from curate.schemas.corpus import Turn, message_of
from curate.schemas.errors import InputError, UsageError
from curate.schemas.evaluation import ITEMS

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = ("apple", "two and three", "say hello again yes no", "five")
ROWS = [(Turn("user", "name a fruit"), Turn("assistant", answer)) for answer in ANSWERS]
TEXT = "name a fruit what is the sum of two and three say hello again " * 4


def loaded(folder: Path, kind: str, seed: int = 0) -> Subject:
    subject = load_subject(str(save_model(folder, kind, seed=seed)), device="cpu", dtype="float32")
    with torch.no_grad():
        subject.model.get_output_embeddings().weight.mul_(20)  # random models say nearly the same otherwise
    return subject


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Subject, Subject]:
    return loaded(tmp_path / "model", request.param, seed=1), loaded(tmp_path / "original", request.param)


def item(turns: tuple[Turn, ...], text: str | None = None) -> dict[str, Any]:
    fixed = {"item_id": text or turns[1].content, "task": "t", "kind": "divergence", "group": "g", "chance": 0.0}
    return {**fixed, "messages": [message_of(turn) for turn in turns], "references": [text] if text else [],
            "answer": None}  # fmt: skip


def evaluated(subject: Subject, original: Subject | None, items: list[dict[str, Any]], **how: Any) -> list[Any]:
    batch = pa.RecordBatch.from_pylist(items, schema=ITEMS)
    (results,) = evaluate([batch], subject, EvaluateConfig(**how), original=original)
    rows: list[Any] = results.to_pylist()
    return rows


@pytest.mark.parametrize("tokens", [1, 4096])
def test_rows_and_texts_agree_with_a_loop(pair: tuple[Subject, Subject], tokens: int) -> None:
    subject, original = pair
    template, length = Template(subject.tokenizer), 20
    rows = [template.encode(turns) for turns in ROWS]
    ids = subject.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    rows += windows(ids, opening_token(subject.tokenizer), length)
    items = [item(turns) for turns in ROWS] + [item((), TEXT)]
    results = evaluated(subject, original, items, batch_tokens=tokens, max_length=length)
    for row, result in zip(rows, results, strict=True):
        total, count = slow.divergence(subject.model, original.model, row)
        assert total / count > 0.01
        assert result["divergence"] == pytest.approx(total / count, rel=1e-4)
        nll, _, correct = slow.forced(subject.model, row)
        assert (result["n_tokens"], result["score"]) == (count, None)
        assert result["nll"] == pytest.approx(nll / count, rel=1e-5)
        assert result["token_accuracy"] == pytest.approx(correct / count)


def test_the_original_does_not_diverge_from_itself(pair: tuple[Subject, Subject]) -> None:
    _, original = pair
    results = evaluated(original, original, [item(turns) for turns in ROWS])
    assert [result["divergence"] for result in results] == [0.0] * len(ROWS)
    alone = evaluated(
        original, load_subject(original.model.name_or_path, device="cpu", dtype="float32"), [item(ROWS[0])]
    )
    assert alone[0]["divergence"] > 0  # its head was changed after saving: not the same model


def test_the_direction_is_from_the_original() -> None:
    """A model that spreads its mass over all tokens, of which the original uses one, is at ln V; not at infinity."""
    weight = torch.zeros((8, 2))
    sharp = torch.zeros((8, 2))
    sharp[3, 0] = 100.0
    states, targets = torch.ones((5, 2)), torch.full((5,), 3)
    plain, certain = (ResponseStates(module_head(one), states) for one in (weight, sharp))
    divergence, nll, correct = token_divergences(plain, certain, targets)
    assert divergence == pytest.approx(np.log(8), abs=1e-5)
    assert nll == pytest.approx(np.log(8), abs=1e-5)
    assert not correct.any()
    other, _, right = token_divergences(certain, plain, targets)
    assert other == pytest.approx(-np.log(8) + 7 / 8 * 100, rel=1e-5)
    assert right.all()


def module_head(weight: torch.Tensor) -> Any:
    from curate.engines.models.output_head import OutputHead

    return OutputHead(weight)


def test_chunks_and_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, original = loaded(tmp_path / "a", "untied", seed=1), loaded(tmp_path / "b", "untied")
    rows = [Template(subject.tokenizer).encode(turns) for turns in ROWS]
    whole = score_pair(subject, original, rows, 4096)
    monkeypatch.setattr(module, "CHUNK_TOKENS", 3)
    monkeypatch.setattr(signals, "block_elements", lambda device: 2 * subject.head.vocabulary)
    parts = score_pair(subject, original, rows, 4096)
    assert parts.divergence == pytest.approx(whole.divergence, rel=1e-5)
    assert parts.forced.nll == pytest.approx(whole.forced.nll, rel=1e-5)
    nothing = Encoded(np.arange(3), np.zeros(3, np.bool_))
    assert score_pair(subject, original, [nothing], 4096).divergence.tolist() == [0.0]


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    subject = load_subject(str(save_llama(tmp_path / "a")))
    wider = load_subject(str(save_llama(tmp_path / "b", extra_rows=3)))
    others = load_subject(str(save_llama(tmp_path / "c", words=WORDS[::-1])))
    check_pair(subject, subject, ("a", "a"), 128)
    with pytest.raises(InputError, match=r"'a' has an output head of \d+ ids and the original 'b' one of \d+"):
        check_pair(subject, wider, ("a", "b"), 10)
    with pytest.raises(InputError, match="tokenizers of the original and the compressed model differ in"):
        check_pair(subject, others, ("a", "c"), 10)
    with pytest.raises(InputError, match="reads at most 128 tokens .* up to 129; pass --max-length 128"):
        check_pair(subject, subject, ("a", "a"), 129)
    with pytest.raises(UsageError, match="needs the original model"):
        evaluated(subject, None, [item(ROWS[0])])
