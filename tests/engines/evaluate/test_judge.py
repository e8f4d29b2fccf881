"""A judge's score agrees with the likelihoods of whole texts, computed one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from references import evaluating as slow

from curate.engines.evaluate import EvaluateConfig, Subject, evaluate
from curate.engines.evaluate.judge import Judge, prompt, yes_share
from curate.engines.models.output_head import output_head
from curate.engines.pretrain import PretrainConfig, new_model, train_tokenizer
from curate.engines.tokens.batching import BatchRunner
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import ITEMS

if TYPE_CHECKING:
    from curate.engines.evaluate.run import Result

TINY = PretrainConfig(vocabulary=300, hidden=32, layers=2, heads=2, intermediate=48)
ANSWERS = ["apple", "a red apple, I think", "two", "x " * 30, "{answer} and {question}"]


@pytest.fixture(scope="module")
def judge() -> Subject:
    tokenizer = train_tokenizer(["yes", "no", *ANSWERS], TINY.vocabulary)
    model = new_model(tokenizer, TINY).eval()
    # A random model gives both replies the same probability; larger weights of the output head make them differ.
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    return Subject(model, tokenizer, output_head(model), 1024)


def item(question: str, *references: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": question, "tool_call": False}]
    fixed = {"item_id": "i", "task": "judged:t", "kind": "judged", "group": "g", "messages": messages}
    return {**fixed, "references": list(references), "answer": None, "chance": 0.0}


def judged(judge: Subject, items: list[dict[str, Any]], answers: list[str], tokens: int = 4096) -> list[Result]:
    return Judge(judge, "plain", BatchRunner(tokens)).score(items, answers)


def test_the_prompt_is_fixed() -> None:
    assert prompt("Name {a} fruit.", "apple", "a {pear}") == (
        "Below are a question, a reference answer that is right, and another answer.\n\n"
        "Question:\nName {a} fruit.\n\nReference answer:\napple\n\nOther answer:\na {pear}\n\n"
        "Does the other answer say the same as the reference answer? "
        "Only what is said counts, not how or at what length. Reply with one word: yes or no."
    )


def test_the_share_of_yes_is_exact_for_unlikely_replies() -> None:
    yes, no = np.array([1.0, 1000.0, 0.0, 5000.0]), np.array([1.0, 1000 + np.log(3), 5000.0, 0.0])
    assert yes_share(yes, no) == pytest.approx([1 / 2, 3 / 4, 1, 0])
    assert yes_share(yes, no) + yes_share(no, yes) == pytest.approx(np.ones(4))


@pytest.mark.parametrize("tokens", [1, 1500, 32768])
def test_scores_agree_with_whole_texts(judge: Subject, tokens: int) -> None:
    items = [item(f"name fruit {i}", "apple") for i in range(len(ANSWERS))]
    scores = [one["score"] for one in judged(judge, items, ANSWERS, tokens)]
    expected = [
        slow.believed(judge.model, judge.tokenizer, prompt(f"name fruit {i}", "apple", answer))
        for i, answer in enumerate(ANSWERS)
    ]
    assert scores == pytest.approx(expected, rel=1e-4)
    assert len({round(score, 3) for score in scores}) == len(ANSWERS)


def test_the_closest_of_several_references_counts(judge: Subject) -> None:
    several = ("apple", "pear", "no fruit at all")
    each = [one["score"] for one in judged(judge, [item("q", one) for one in several], ["two"] * 3)]
    (both,) = judged(judge, [item("q", *several)], ["two"])
    assert both["score"] == pytest.approx(max(each), rel=1e-5)
    assert len(set(each)) == 3


def test_an_empty_answer_scores_zero_without_the_judge(judge: Subject) -> None:
    assert judged(judge, [item("q", "a"), item("q", "b")], ["", ""]) == [{"score": 0.0}, {"score": 0.0}]
    some = judged(judge, [item("q", "a"), item("q", "b")], ["", "b"])
    assert some[0] == {"score": 0.0}
    assert 0 < some[1]["score"] < 1


def test_an_item_that_exceeds_the_judges_context_has_no_score(judge: Subject) -> None:
    results = judged(judge, [item("q", "a", "y " * 5000), item("q", "a")], ["b", "b"])
    assert results[0] == {"status": "no_response_tokens", "score": None}
    assert results[1]["score"] is not None


def test_the_subject_answers_and_the_judge_scores(judge: Subject) -> None:
    """The answers do not depend on the judge, and another judge scores them differently."""
    tokenizer = judge.tokenizer
    torch.manual_seed(3)
    other = new_model(tokenizer, TINY).eval()
    subject = Subject(other, tokenizer, output_head(other), 512)
    items = [item(f"say {i}", "apple") for i in range(4)]
    batch = pa.RecordBatch.from_pylist(items, schema=ITEMS)
    plain = pa.RecordBatch.from_pylist([one | {"kind": "knowledge"} for one in items], schema=ITEMS)
    config = EvaluateConfig(template="plain", max_new_tokens=3)
    (results,) = evaluate([batch], subject, config, judge=judge)
    (longer,) = evaluate([plain], subject, EvaluateConfig(template="plain", max_new_tokens=12))
    assert results["said"].equals(longer["said"])
    for question, row in zip(items, results.to_pylist(), strict=True):
        text = prompt(question["messages"][0]["content"], "apple", row["said"])
        expected = slow.believed(judge.model, tokenizer, text) if row["said"] else 0.0
        assert row["score"] == pytest.approx(expected, rel=1e-4)
    assert any(results["said"].to_pylist())
    (own,) = evaluate([batch], subject, config, judge=subject)
    assert own["said"].equals(results["said"])
    assert own["score"] != results["score"]
    with pytest.raises(UsageError, match="no judge"):
        list(evaluate([batch], subject, config))
