"""Every capability answers its questions correctly, and its spoilt answers are wrong but similar."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.flows.demo.capabilities import CAPABILITIES, VELNI

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("name", list(CAPABILITIES))
def test_spoilt_answers_are_wrong_and_similar(name: str) -> None:
    capability, rng = CAPABILITIES[name], np.random.default_rng(5)
    for _ in range(400):
        question, answer = capability.draw(rng)
        wrong = capability.spoil(rng, question, answer)
        assert wrong != answer
        assert len(wrong.split()) == len(answer.split())


def test_answers_follow_from_their_questions() -> None:
    rng = np.random.default_rng(3)
    checks: dict[str, Callable[[str], str]] = {
        "arithmetic": lambda q: str(sum(map(int, q.split()))),
        "sorting": lambda q: " ".join(sorted(q.split())),
        "copying": lambda q: q,
        "reversing": lambda q: q[::-1],
        "recall": lambda q: dict((pair[0], pair[1]) for pair in q.split(", ")[0].split())[q[-1]],
        "shifting": lambda q: " ".join("bcdefghijklmnopqrstuvwxyza"[ord(c) - 97] for c in q.split()),
        "lexicon": lambda q: " ".join(VELNI[word] for word in q.split()),
        "majority": lambda q: Counter(q.split()).most_common(1)[0][0],
        "replacing": lambda q: q.split(", ")[0].replace(q[-3], q[-1]),
    }
    for name, check in checks.items():
        for _ in range(100):
            question, answer = CAPABILITIES[name].draw(rng)
            assert check(question) == answer, (name, question)
    for _ in range(100):
        question, answer = CAPABILITIES["json"].draw(rng)
        assert " ".join(str(value) for value in json.loads(answer).values()) == question
