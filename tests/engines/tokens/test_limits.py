"""Steps and sizes are charged to an allowance that a conversation opens."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from curate.engines.tokens.limits import (
    ALLOWANCE,
    ALLOWED,
    LARGEST,
    STEP_COST,
    STEPS_BETWEEN_CLOCKS,
    LimitError,
    charge,
    joined,
    sized,
    tick,
    weigh,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def repeat(action: Callable[[], object], times: int) -> None:
    for _ in range(times):
        action()


def test_values_are_weighed_as_they_would_be_printed() -> None:
    assert weigh("abc") == 4
    assert weigh(["abc", ("d", 5)]) == 1 + 4 + 1 + 2 + 1
    assert weigh({"key": ["v"]}) == 1 + 4 + 1 + 2
    shared: list[object] = ["leaf"]
    for _ in range(60):
        shared = [shared, shared]
    ALLOWED.open(0)
    assert weigh(shared) > LARGEST


def test_one_value_and_all_together_are_bounded() -> None:
    ALLOWED.open(0)
    assert sized("a" * LARGEST) == "a" * LARGEST
    with pytest.raises(LimitError, match="more than 1000000 characters"):
        sized("a" * (LARGEST + 1))
    with pytest.raises(LimitError, match="4096 bits"):
        sized(1 << 4096)
    with pytest.raises(LimitError, match="too many steps"):
        repeat(lambda: charge(LARGEST), ALLOWANCE // LARGEST + 2)


def test_steps_are_bounded_and_each_thread_has_its_own() -> None:
    ALLOWED.open(0)
    repeat(tick, ALLOWANCE // STEP_COST)
    other = threading.Thread(target=lambda: ALLOWED.open(0))
    other.start()
    other.join()
    with pytest.raises(LimitError, match="too many steps"):
        repeat(tick, 2 * STEPS_BETWEEN_CLOCKS)


def test_the_limits_grow_with_the_conversation() -> None:
    ALLOWED.open(1_000_000)
    assert len(sized("a" * 10 * LARGEST)) == 10 * LARGEST


def test_the_time_of_the_processor_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ALLOWED.open(0)
    monkeypatch.setattr("curate.engines.tokens.limits.time.thread_time", lambda: 1e9)
    with pytest.raises(LimitError, match="too much time"):
        repeat(tick, 1000)


def test_pieces_are_joined_until_there_are_too_many() -> None:
    ALLOWED.open(0)
    assert joined(str(n) for n in range(10_000)) == "".join(map(str, range(10_000)))
    read = 0

    def pieces():
        nonlocal read
        while True:
            read += 1
            yield "a" * 1000

    with pytest.raises(LimitError):
        joined(pieces())
    assert read < 60_000
