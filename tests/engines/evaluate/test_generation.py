"""Batched answers equal those of one row at a time, token by token, without a key-value cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from curate.engines.evaluate.generation import encode_questions, grade, greedy_answers, reference_nll, stop_tokens
from curate.engines.pretrain import PretrainConfig, new_model, save, train_tokenizer
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

TINY = PretrainConfig(vocabulary=300, hidden=32, layers=2, heads=2, intermediate=48)
WORDS = ("a", "sort these letters", "x " * 20, "what is 12 plus 7", "b c", "hello", "one more question here")
ROWS = [(Turn("user", word), Turn("assistant", word[:5] or "y")) for word in WORDS]


@pytest.fixture(scope="module")
def pair():
    tokenizer = train_tokenizer(WORDS, TINY.vocabulary)
    model = new_model(tokenizer, TINY).eval()
    # A random model repeats itself; larger weights of the output head make its answers differ.
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    return model, tokenizer


def slow_answer(model, prompt: np.ndarray, stops: list[int], n: int) -> list[int]:
    ids, answer = list(prompt), []
    for _ in range(n):
        with torch.no_grad():
            token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token in stops:
            break
        ids.append(token)
        answer.append(token)
    return answer


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batched_answers_equal_those_of_one_row_at_a_time(pair, batch_size: int) -> None:
    model, tokenizer = pair
    prompts = [q.prompt for q in encode_questions(Template(tokenizer), ROWS)]
    first = slow_answer(model, prompts[0], [], 6)
    stops = [tokenizer.eos_token_id, first[3]]  # a token that does occur, so that stopping is tested
    expected = [slow_answer(model, prompt, stops, 10) for prompt in prompts]
    assert greedy_answers(model, prompts, stops, 10, batch_size) == expected
    assert min(map(len, expected)) < 10


def test_likelihood_agrees_with_a_loop(pair) -> None:
    model, tokenizer = pair
    questions = encode_questions(Template(tokenizer), ROWS)
    for question, value in zip(questions, reference_nll(model, questions, 3), strict=True):
        ids = [*question.prompt, *question.answer]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        loss = [-float(logits[t - 1, ids[t]]) for t in range(len(question.prompt), len(ids))]
        assert value == pytest.approx(np.mean(loss), rel=1e-4)


def test_a_question_ends_where_its_last_answer_begins(pair) -> None:
    _, tokenizer = pair
    turns = (Turn("system", "s"), Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d"))
    question = encode_questions(Template(tokenizer), [turns])[0]
    assert tokenizer.decode(question.prompt).endswith("<|user|>c<|end|><|assistant|>")
    assert tokenizer.decode(question.answer) == "d<|end|>"


@pytest.mark.parametrize("turns", [(Turn("user", "a"),), (Turn("user", "a " * 600), Turn("assistant", "b"))])
def test_a_row_without_a_reference_is_rejected(pair, turns: tuple[Turn, ...]) -> None:
    with pytest.raises(InputError, match="conversation 2 has no answer"):
        encode_questions(Template(pair[1]), [ROWS[0], turns])


def test_grades_mark_exact_matches(pair, tmp_path: Path) -> None:
    model, tokenizer = pair
    prompts = [q.prompt for q in encode_questions(Template(tokenizer), ROWS)]
    save(new_model(tokenizer, TINY), tokenizer, tmp_path)
    first = grade(tmp_path, ROWS, max_new_tokens=6)
    assert len(first.answers) == len(first.correct) == len(first.nll) == len(prompts)
    assert np.isfinite(first.nll).all()
    # Grade again, with the model's own answer to row 0 as that row's reference.
    reference = first.answers[0] or "."
    rows = [(ROWS[0][0], Turn("assistant", reference)), *ROWS[1:]]
    again = grade(tmp_path, rows, max_new_tokens=6)
    assert again.answers == first.answers
    assert list(again.correct) == [
        answer == turns[-1].content.strip() for answer, turns in zip(again.answers, rows, strict=True)
    ]


def test_stop_tokens_join_model_and_tokenizer(pair) -> None:
    model, tokenizer = pair
    own = tokenizer.eos_token_id
    assert stop_tokens(model, own) == [own]
    assert stop_tokens(model, 7) == sorted({own, 7})
