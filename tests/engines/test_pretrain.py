"""Pretraining writes an ordinary model folder with a lossless tokenizer, and the model learns."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from curate.engines.pretrain import (
    IGNORED,
    PretrainConfig,
    answer_loss,
    batches,
    encode_pair,
    new_model,
    pretrain,
    train_tokenizer,
)

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = [(f"Say {word} twice", f"{word} {word}") for word in ("ab", "cd", "ef", "gh")]
TINY = PretrainConfig(
    vocabulary=300, hidden=32, layers=1, heads=2, intermediate=48, steps=60, batch=8, learning_rate=1e-2
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([text for pair in PAIRS for text in pair], TINY.vocabulary)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    out, losses = tmp_path_factory.mktemp("trained"), []
    facts = pretrain(
        cycle(PAIRS), [text for pair in PAIRS for text in pair], out, TINY, lambda step, loss: losses.append(loss)
    )
    assert facts["steps"] == len(losses) == TINY.steps
    return out, losses


@pytest.mark.parametrize("text", ["plain", " two  spaces ", "a\n\tb", "Käse, 東京 \U0001f642", "12 + 345.6", "a ,b .c"])
def test_the_tokenizer_is_lossless(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id not in ids


def test_every_digit_is_a_token(tokenizer) -> None:
    assert len(tokenizer("2026", add_special_tokens=False)["input_ids"]) == 4


def test_a_prompt_is_a_prefix_of_the_conversation(tokenizer) -> None:
    turns = [
        {"role": role, "content": f"text {i}"}
        for i, role in enumerate(("system", "user", "assistant", "tool", "assistant", "user", "assistant"))
    ]
    for i, turn in enumerate(turns):
        if turn["role"] == "assistant":
            prompt = tokenizer.apply_chat_template(turns[:i], tokenize=False, add_generation_prompt=True)
            complete = tokenizer.apply_chat_template(turns[: i + 1], tokenize=False)
            assert complete == f"{prompt}text {i}{tokenizer.eos_token}"


def test_only_the_answer_is_labelled(tokenizer) -> None:
    tokens, labels = next(batches(cycle(PAIRS), tokenizer, TINY))
    assert tokens.shape == labels.shape == (TINY.batch, tokens.shape[1])
    for row, answer in zip(tokens, labels, strict=True):
        kept = answer != IGNORED
        assert torch.equal(row[kept], answer[kept])
        assert tokenizer.decode(answer[kept][:-1]) in {pair[1] for pair in PAIRS}
        assert answer[kept][-1] == tokenizer.eos_token_id


def test_the_batch_loss_equals_that_of_single_pairs(tokenizer) -> None:
    model = new_model(tokenizer, TINY).eval()
    tokens, labels = next(batches(cycle(PAIRS), tokenizer, TINY))
    total, count = 0.0, 0
    for row, row_labels in zip(tokens, labels, strict=True):
        ids = row[row != tokenizer.pad_token_id]
        logits = model(ids[None]).logits[0].log_softmax(-1)
        for t in range(1, len(ids)):
            if row_labels[t] != IGNORED:
                total, count = total - logits[t - 1, ids[t]].item(), count + 1
    assert answer_loss(model, tokens, labels).item() == pytest.approx(total / count, rel=1e-5)


def test_the_model_learns_and_is_written_as_an_ordinary_folder(trained: tuple[Path, list[float]]) -> None:
    out, losses = trained
    assert losses[-1] < 0.3 * losses[0]
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} <= {
        path.name for path in out.iterdir()
    }
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.dtype == torch.float16
    assert tokenizer.chat_template
    assert GenerationConfig.from_pretrained(out).eos_token_id == tokenizer.eos_token_id
    ids, n_prompt = encode_pair(tokenizer, PAIRS[0])
    answer = model.float().generate(torch.tensor([ids[:n_prompt]]), max_new_tokens=8)[0, n_prompt:]
    assert tokenizer.decode(answer, skip_special_tokens=True) == PAIRS[0][1]


def test_training_is_reproducible(trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    pretrain(cycle(PAIRS), [text for pair in PAIRS for text in pair], tmp_path, TINY)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()
