"""Options are laid out as lm-eval does, and sharing their prefix gives what reading every option whole gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from models import save_model
from references import evaluating as slow

from curate.engines.evaluate import EvaluateConfig, Subject, evaluate, load_subject
from curate.engines.evaluate.option_layouts import option_rows, plain_pair
from curate.engines.evaluate.shared_prefix import keeps_keys, prefix_length, score_options
from curate.engines.evaluate.teacher_forcing import score_answers
from curate.engines.tokens.batching import BatchRunner
from curate.engines.tokens.templates import Encoded, Template
from curate.schemas.evaluation import ITEMS

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.evaluation import Normalise, OptionLayout

LAYOUTS: tuple[OptionLayout, ...] = ("conversation", "cloze", "letter", "continuation")
QUESTIONS = ["name a fruit", "what is the sum of two and three", "sort", "say hello again say yes", "red ", ""]
OPTIONS = [["apple", "red apple"], ["five", "two", "three five"], ["yes", "no", "a", "letters say no"]]


@pytest.fixture(scope="module", params=["untied", "bias"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = save_model(tmp_path_factory.mktemp("model") / "m", request.param)
    subject = load_subject(str(folder), device="cpu", dtype="float32")
    with torch.no_grad():
        subject.model.get_output_embeddings().weight.mul_(20)  # answers of a random model hardly differ otherwise
    return subject


def items() -> list[dict[str, Any]]:
    return [
        {
            "item_id": str(i), "task": "t", "kind": "choice", "group": "t",
            "messages": [{"role": "user", "content": question, "tool_call": False}],
            "references": OPTIONS[i % 3], "answer": i % 2, "chance": 0.0,
        }
        for i, question in enumerate(QUESTIONS)
    ]  # fmt: skip


def evaluated(subject: Subject, given: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    (results,) = evaluate([pa.RecordBatch.from_pylist(given, schema=ITEMS)], subject, EvaluateConfig(**settings))
    return results.to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("tokens", [1, 4096])
def test_a_shared_prefix_gives_what_whole_rows_give(subject: Subject, layout: OptionLayout, tokens: int) -> None:
    groups = option_rows(items(), layout, subject.tokenizer, Template(subject.tokenizer))
    rows = [row for group in groups for row in group]
    assert keeps_keys(subject.model)
    shared = score_options(subject.model, subject.head, groups, BatchRunner(tokens))
    whole = score_answers(subject.model, subject.head, rows, BatchRunner(4096))
    for index, row in enumerate(rows):
        total, count, right = slow.forced(subject.model, row)
        assert (shared.tokens[index], shared.correct[index]) == (count, right)
        assert shared.nll[index] == pytest.approx(total, rel=1e-5, abs=1e-4)
    assert shared.nll == pytest.approx(whole.nll, rel=1e-5, abs=1e-4)


def test_rows_that_share_nothing_or_have_nothing_to_score(subject: Subject) -> None:
    def row(ids: list[int], start: int) -> Encoded:
        return Encoded(np.array(ids, np.int64), np.arange(len(ids)) >= start)

    groups = [
        [row([5, 6, 7], 1), row([8, 6, 7], 1)],
        [row([5, 6, 7], 2), row([5, 6], 2), row([5, 9, 7, 8], 3)],
        [row([4, 5], 2)],
    ]
    assert [prefix_length(group) for group in groups[:2]] == [0, 1]
    rows = [one for group in groups for one in group]
    out = score_options(subject.model, subject.head, groups, BatchRunner(4096))
    for index, one in enumerate(rows):
        total, count, right = slow.forced(subject.model, one)
        assert (out.tokens[index], out.correct[index]) == (count, right)
        assert out.nll[index] == pytest.approx(total, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("normalise", ["none", "bytes", "unconditional"])
def test_options_are_compared_as_they_are_said_to_be(
    subject: Subject, layout: OptionLayout, normalise: Normalise
) -> None:
    given = items()
    template = Template(subject.tokenizer)
    groups = option_rows(given, layout, subject.tokenizer, template)
    bos = subject.tokenizer.bos_token_id
    for question, group, result in zip(
        given, groups, evaluated(subject, given, option_layout=layout, normalise=normalise), strict=True
    ):
        values = []
        for number, (option, row) in enumerate(zip(question["references"], group, strict=True)):
            value = slow.forced(subject.model, row)[0]
            scored = "ABCD"[number] if layout == "letter" else option
            if normalise == "bytes":
                value /= len(scored.encode())
            if normalise == "unconditional":
                ids = row.ids[row.supervised]
                value -= slow.forced(subject.model, Encoded(np.r_[bos, ids], np.arange(len(ids) + 1) > 0))[0]
            values.append(value)
        assert result["said"] == question["references"][int(np.argmin(values))]
        assert result["score"] == float(int(np.argmin(values)) == question["answer"])
        nll = slow.forced(subject.model, group[question["answer"]])
        assert result["nll"] == pytest.approx(nll[0] / nll[1], rel=1e-4)


def test_continuations_are_plain_texts_whatever_the_layout_of_choices(subject: Subject) -> None:
    given = items()
    expected = evaluated(subject, given, option_layout="continuation", normalise="bytes")
    asked = evaluated(
        subject, [{**one, "kind": "continuation"} for one in given], option_layout="letter", normalise="bytes"
    )
    assert [{**row, "kind": "choice"} for row in asked] == expected


def test_layouts_are_those_of_published_tasks() -> None:
    assert plain_pair("cloze", "Why?", ["a", "b"]) == ("Question: Why?\nAnswer:", ["a", "b"])
    assert plain_pair("letter", "Why?", ["x", "y"]) == ("Why?\nA. x\nB. y\nAnswer:", ["A", "B"])
    assert plain_pair("continuation", "Because", ["x", "y"]) == ("Because", ["x", "y"])


def test_a_long_context_loses_its_beginning_not_the_option(subject: Subject) -> None:
    question = {**items()[0], "messages": [{"role": "user", "content": "say hello " * 40, "tool_call": False}]}
    (group,) = option_rows([question], "continuation", subject.tokenizer, Template(subject.tokenizer, max_length=9))
    assert all(row.truncated and len(row.ids) == 9 for row in group)
    decoded = [subject.tokenizer.decode(row.ids[row.supervised]) for row in group]
    assert decoded == question["references"]
    (result,) = evaluated(subject, [question], option_layout="continuation", max_length=9)
    assert result["status"] == "truncated"
    assert math.isfinite(result["nll"])


def test_models_with_other_caches_are_read_whole(tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, sliding_window=3,
    )  # fmt: skip
    assert not keeps_keys(MistralForCausalLM(config).eval())
