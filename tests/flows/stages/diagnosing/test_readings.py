"""Passes over items are made once for the same list, and again for another one, whatever its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.flows.stages.diagnosing.readings import Readings
from curate.schemas.corpus import Turn, message_of
from curate.schemas.settings import resolve

if TYPE_CHECKING:
    from pathlib import Path

WORDINGS = ("say yes", "sort letters")


def item(question: str) -> dict[str, Any]:
    messages = [message_of(Turn("user", question))]
    return {"messages": messages, "references": ["apple", "two and three"], "answer": 0, "chance": 0.5}


@pytest.fixture
def passes() -> list[int]:
    return []


@pytest.fixture
def readings(tiny: tuple[Path, Path], passes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Readings:
    monkeypatch.chdir(tmp_path)
    settings = resolve({"score": {"template": "plain", "max_length": 32, "device": "cpu"}})
    return Readings(settings, str(tiny[0]), WORDINGS, passes.append)


def test_the_same_items_are_read_once(readings: Readings, passes: list[int]) -> None:
    items = [item("name a fruit")]
    reward = readings.reward(items, (0,))
    assert readings.scores(items, (0,)).shape == (1,)
    assert readings.reward(items, (0,)) == reward
    assert sum(passes) == 1
    assert readings.reward(items, (1, 0)) != reward
    assert sum(passes) == 2


def test_items_are_never_taken_for_others_that_are_gone(readings: Readings) -> None:
    gone, other = [item("name a fruit")], [item("what is the sum")]
    expected = readings.reward(other, (0,))
    assert readings.reward(gone, (0,)) != expected
    identity, taken = id(gone), []
    del gone
    for _ in range(100_000):
        taken.append(list(other))
        if id(taken[-1]) == identity:
            break
    assert readings.reward(taken[-1], (0,)) == expected
