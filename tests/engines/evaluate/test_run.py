"""Every kind of item agrees with evaluating one row at a time, and parts do not depend on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from references import evaluating as slow

from curate.engines.evaluate import EvaluateConfig, Subject, evaluate
from curate.engines.evaluate.generation import greedy_answers, stop_tokens
from curate.engines.evaluate.teacher_forcing import score_answers
from curate.engines.evaluate.texts import windows
from curate.engines.models.output_head import output_head
from curate.engines.pretrain import PretrainConfig, new_model, train_tokenizer
from curate.engines.tokens.batching import BatchRunner
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.evaluation import ITEMS, RESULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

TINY = PretrainConfig(vocabulary=300, hidden=32, layers=2, heads=2, intermediate=48)
WORDS = ("a", "sort these letters", "x " * 20, "what is 12 plus 7", "b c", "hello", "one more question here")
ROWS = [(Turn("user", word), Turn("assistant", word[:5] or "y")) for word in WORDS]


@pytest.fixture(scope="module")
def subject() -> Subject:
    tokenizer = train_tokenizer(WORDS, TINY.vocabulary)
    model = new_model(tokenizer, TINY).eval()
    # A random model repeats itself; larger weights of the output head make its answers differ.
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    return Subject(model, tokenizer, output_head(model), 512)


def item(kind: str, turns: Sequence[Turn] = (), references: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    messages = [{"role": turn.role, "content": turn.content, "tool_call": False} for turn in turns]
    fixed = {"item_id": "i", "task": kind, "kind": kind, "group": kind, "messages": messages}
    return {**fixed, "references": list(references), "answer": None, "chance": 0.0, **more}


def evaluated(
    subject: Subject, items: list[dict[str, Any]], original: Subject | None = None, **settings: Any
) -> list[dict[str, Any]]:
    batch = pa.RecordBatch.from_pylist(items, schema=ITEMS)
    (results,) = evaluate([batch], subject, EvaluateConfig(**settings), original=original)
    assert results.schema.equals(RESULTS)
    return results.to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("tokens", [1, 60, 4096])
def test_held_out_rows_agree_with_a_loop(subject: Subject, tokens: int) -> None:
    results = evaluated(subject, [item("rows", turns) for turns in ROWS], batch_tokens=tokens)
    for turns, result in zip(ROWS, results, strict=True):
        total, count, correct = slow.forced(subject.model, Template(subject.tokenizer).encode(turns))
        assert result["n_tokens"] == count
        assert result["nll"] == pytest.approx(total / count, rel=1e-5)
        assert result["token_accuracy"] == pytest.approx(correct / count)
        assert result["score"] == float(correct == count)
        assert result["status"] == "ok"


def test_exact_match_equals_that_of_greedy_decoding(subject: Subject) -> None:
    """The model's own greedy answers score 1 and others 0, without generating anything."""
    template, stops = Template(subject.tokenizer), stop_tokens(subject.model, subject.tokenizer.eos_token_id)
    rows = template.encode_many(ROWS)
    prompts = [row.ids[: len(row.ids) - row.n_response] for row in rows]
    answers = greedy_answers(subject.model, prompts, [], 5, 64)
    own = [type(row)(np.concatenate([prompt, ids]), np.arange(len(prompt) + 5) >= len(prompt))
           for row, prompt, ids in zip(rows, prompts, answers, strict=True)]  # fmt: skip
    wrong = [type(row)(np.where(row.supervised & (np.arange(len(row.ids)) == len(row.ids) - 1),
                                (row.ids + 1) % 300, row.ids), row.supervised) for row in own]  # fmt: skip
    for encoded, n_correct in ((own, 5), (wrong, 4)):
        forced = score_answers(subject.model, subject.head, encoded, BatchRunner(4096))
        assert forced.correct.tolist() == [n_correct] * len(ROWS)
    assert stops


def test_choice_takes_the_most_likely_option(subject: Subject) -> None:
    options = ["hello", "b c", "what is"]
    items = [item("choice", turns[:1], options, answer=index % 3, chance=1 / 3) for index, turns in enumerate(ROWS)]
    template = Template(subject.tokenizer)
    chosen = set()
    for question, turns, result in zip(items, ROWS, evaluated(subject, items, batch_tokens=100), strict=True):
        sums = [
            slow.forced(subject.model, template.encode((turns[0], Turn("assistant", option))))[:2] for option in options
        ]
        best = min(range(3), key=lambda i: sums[i][0])
        assert result["said"] == options[best]
        assert result["score"] == float(best == question["answer"])
        assert result["nll"] == pytest.approx(sums[question["answer"]][0] / sums[question["answer"]][1], rel=1e-5)
        chosen.add(best)
    assert len(chosen) > 1


def test_only_the_last_answer_of_a_conversation_is_an_option(subject: Subject) -> None:
    turns = (Turn("user", "a"), Turn("assistant", "hello"), Turn("user", "b c"))
    (result,) = evaluated(subject, [item("choice", turns, ["b c", "hello"], answer=0)])
    row = Template(subject.tokenizer).encode((*turns, Turn("assistant", "b c")))
    alone = Template(subject.tokenizer).encode((Turn("user", "b c"), Turn("assistant", "b c")))
    assert result["n_tokens"] == alone.n_response < row.n_response


@pytest.mark.parametrize("length", [2, 7, 512])
def test_perplexity_predicts_every_token_once(subject: Subject, length: int) -> None:
    texts = ["hello b c what is 12 plus 7", "x"]
    opening = subject.tokenizer.bos_token_id
    opening = subject.tokenizer.eos_token_id if opening is None else opening
    items = [item("perplexity", (), [text], item_id=text) for text in texts]
    results = evaluated(subject, items, max_length=length)
    assert len({result["item_id"] for result in results}) == len(results)
    for text in texts:
        ids = subject.tokenizer(text, add_special_tokens=False)["input_ids"]
        # A result for each window, in order.
        own, results = results[: -(-len(ids) // (length - 1))], results[-(-len(ids) // (length - 1)) :]
        total, count = slow.rolling_nll(subject.model, ids, opening, length)
        assert sum(result["n_tokens"] for result in own) == count == len(ids)
        assert sum(result["nll"] * result["n_tokens"] for result in own) == pytest.approx(total, rel=1e-5)
        assert all(result["n_tokens"] == length - 1 for result in own[:-1])
        assert all(result["score"] is None for result in own)
    assert not results
    first = evaluated(subject, items, max_length=length, most_windows=1)
    assert [result["n_tokens"] for result in first] == [min(length - 1, 15), 1]


def test_a_text_without_tokens_has_a_status(subject: Subject) -> None:
    (result,) = evaluated(subject, [item("perplexity", (), [""])])
    assert (result["status"], result["nll"]) == ("no_response_tokens", None)


def test_without_an_opening_token_the_first_is_context() -> None:
    parts = windows([5, 6, 7, 8, 9], None, 3)
    assert [part.ids.tolist() for part in parts] == [[5, 6, 7], [7, 8, 9]]
    assert sum(part.n_response for part in parts) == 4
    assert windows([], 1, 3) == []


def test_generated_answers_are_graded_by_kind(subject: Subject) -> None:
    question = (Turn("user", "hello"),)
    (first,) = evaluated(subject, [item("knowledge", question, ["not this answer"])])
    assert first["score"] == 0
    assert first["said"]
    text = first["said"]
    results = evaluated(
        subject,
        [
            item("knowledge", question, ["x", text.upper()]),
            item("open-book", question, [text]),
            item("instructions", question, [f"equals: {text}"]) if "\n" not in text else item("rows", ROWS[0]),
            item("instructions", question, ["equals: not this answer"]),
            item("reasoning", question, ["12345678"]),
        ],
    )
    assert [row["score"] for row in results[:2]] == [1, 1]
    assert [row["score"] for row in results[3:]] == [0, 0]
    assert {row["said"] for row in results[:2]} == {text}


def test_a_row_without_an_answer_has_a_status_and_no_figures(subject: Subject) -> None:
    too_long = (Turn("user", "a " * 600), Turn("assistant", "b"))
    truncated = (Turn("user", "a"), Turn("assistant", "hello " * 30))
    items = [item("rows", too_long), item("rows", truncated), item("knowledge", too_long[:1], ["b"])]
    results = evaluated(subject, items, max_length=20)
    assert [row["status"] for row in results] == ["no_response_tokens", "truncated", "no_response_tokens"]
    assert results[0]["score"] is None
    assert results[0]["nll"] is None
    assert results[1]["nll"] is not None


def test_a_part_does_not_depend_on_the_parts_before_it(subject: Subject) -> None:
    items = [item("rows", turns) for turns in ROWS] + [item("knowledge", turns[:1], ["x"]) for turns in ROWS]
    first, second = (pa.RecordBatch.from_pylist(part, schema=ITEMS) for part in (items[:9], items[9:]))
    together = list(evaluate([first, second], subject, EvaluateConfig()))
    (alone,) = evaluate([second], subject, EvaluateConfig())
    assert together[1].equals(alone)
