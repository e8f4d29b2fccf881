"""Answers under wordings: the reward against whole forward passes, the score against an evaluation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from curate.engines.diagnose.wordings import WordingReader, reworded
from curate.engines.evaluate import EvaluateConfig, evaluate, load_subject
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn, message_of
from curate.schemas.errors import InputError
from curate.schemas.evaluation import ITEMS

if TYPE_CHECKING:
    from pathlib import Path

    from curate.engines.evaluate import Subject

CONFIG = EvaluateConfig(template="plain", max_length=32)
OPTIONS = [["apple", "two and three"], ["yes", "no", "five"], ["red", "say hello"]]


def item(index: int) -> dict[str, Any]:
    return {
        "item_id": f"{index:016x}", "task": "choice:t", "kind": "choice", "group": "g", "references": OPTIONS[index],
        "messages": [message_of(Turn("user", f"what is {OPTIONS[index][0]}"))],
        "answer": index % 2, "chance": 0.5,
    }  # fmt: skip


ITEM_ROWS = [item(index) for index in range(3)]


@pytest.fixture(scope="module")
def subject(tiny: tuple[Path, Path]) -> Subject:
    return load_subject(str(tiny[0]), device="cpu", dtype="float32")


def log_likelihood(subject: Subject, turns: list[Turn], option: str) -> float:
    """Return the log-likelihood of an option from the logits of its whole row."""
    row = Template(subject.tokenizer, "plain", 32).encode([*turns, Turn("assistant", option)])
    ids = torch.from_numpy(row.ids)[None]
    with torch.no_grad():
        logs = subject.model(ids).logits[0].double().log_softmax(-1)
    return sum(float(logs[t - 1, row.ids[t]]) for t in np.flatnonzero(row.supervised))


@pytest.mark.parametrize("wording", ["", "say yes", "sort letters"])
def test_the_reward_is_the_log_share_of_the_right_option(subject: Subject, wording: str) -> None:
    rewards, scores = WordingReader(subject, CONFIG).read(ITEM_ROWS, wording)
    for one, reward, score in zip(ITEM_ROWS, rewards, scores, strict=True):
        question = one["messages"][0]["content"]
        turns = [Turn("user", f"{wording}\n\n{question}" if wording else question)]
        values = [log_likelihood(subject, turns, option) for option in one["references"]]
        share = math.exp(values[one["answer"]]) / sum(math.exp(value) for value in values)
        assert reward == pytest.approx(math.log(share), abs=1e-5)
        assert score == float(max(values) == values[one["answer"]])


def test_without_a_wording_scores_are_those_of_an_evaluation(subject: Subject) -> None:
    [results] = evaluate([pa.RecordBatch.from_pylist(ITEM_ROWS, schema=ITEMS)], subject, CONFIG)
    assert WordingReader(subject, CONFIG).read(ITEM_ROWS, "")[1].tolist() == results.column("score").to_pylist()


def test_only_the_last_turn_gets_the_wording() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    found = reworded({"messages": turns}, "w")["messages"]
    assert [turn["content"] for turn in found] == ["a", "b", "w\n\nc"]
    assert turns[2]["content"] == "c"


def test_an_option_that_does_not_fit_is_an_error(subject: Subject) -> None:
    with pytest.raises(InputError, match="raise --max-length"):
        WordingReader(subject, EvaluateConfig(template="plain", max_length=4)).read(ITEM_ROWS, "say yes")
