"""Limits of work and size for the rendering of one conversation by code that comes with a model.

A chat template is a program: it can loop for ever, or build values that fill the memory. Every step of a loop and
every value that is built is charged to an allowance that grows with the conversation. It is counted, not timed, so a
row fails on every machine or on none; the processor's time is a second limit, for operations that nothing charges.
"""

from __future__ import annotations

import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

ALLOWANCE = 50_000_000
"""Characters and other parts of values, and steps, that one rendering may build, apart from the input's share."""

LARGEST = 1_000_000
"""Parts of one value, apart from the input's share."""

CHUNK = 4096
"""Pieces of a text that are joined at a time."""

SMALL = 256
"""Characters of a text that is not charged."""

STEP_COST = 20
"""What one step of a loop or one call of a macro is charged."""

STEPS_BETWEEN_CLOCKS = 64
SECONDS = 2.0
"""Time of the processor for one rendering, apart from the input's share of one second for a million characters."""

INTEGER_BITS = 4096


class LimitError(Exception):
    """A chat template needs more work or memory than any conversation of this size can."""


class Allowance(threading.local):
    """What is left for the rendering that this thread is at."""

    left = ALLOWANCE
    next_clock = ALLOWANCE
    largest = LARGEST
    deadline = float("inf")
    marking = False
    """Whether blocks that a template marks as the answers are to be marked in the text."""

    def open(self, characters: int) -> None:
        """Begin a rendering of a conversation of this many characters."""
        self.left = self.next_clock = ALLOWANCE + 1000 * characters
        self.largest = LARGEST + 16 * characters
        # Not the wall clock: a process that is stopped or waits for others must not fail.
        self.deadline = time.thread_time() + SECONDS + characters / 1_000_000

    def look(self) -> None:
        """Compare what was used with the limits.

        Raises
        ------
        LimitError
        """
        if self.left < 0:
            raise LimitError("it takes too many steps or builds too much text")
        if time.thread_time() > self.deadline:
            raise LimitError("it takes too much time")
        self.next_clock = self.left - STEPS_BETWEEN_CLOCKS * STEP_COST


ALLOWED = Allowance()


def tick() -> None:
    """Charge one step of a loop, or one call of a macro or block."""
    ALLOWED.left = left = ALLOWED.left - STEP_COST
    if left < ALLOWED.next_clock:
        ALLOWED.look()


def sized(value: Any) -> Any:
    """Return `value` after charging its size.

    Raises
    ------
    LimitError
        If it is larger than one value may be.
    """
    if isinstance(value, str):
        # Small texts are free, because most are: steps and the clock bound how many there can be.
        if len(value) > SMALL:
            charge(len(value))
    elif isinstance(value, int):
        if value.bit_length() > INTEGER_BITS:
            raise LimitError(f"it computes a number of more than {INTEGER_BITS} bits")
    elif isinstance(value, (list, tuple, dict, bytes)):
        charge(weigh(value))
    return value


def charge(size: int) -> None:
    """Charge a value of `size` parts, before or after it is built."""
    if size > ALLOWED.largest:
        raise LimitError(f"it builds a value of more than {ALLOWED.largest} characters")
    ALLOWED.left = left = ALLOWED.left - size
    if left < ALLOWED.next_clock:
        ALLOWED.look()


def weigh(value: Any) -> int:
    """Return the number of values and characters in `value`, counting a value that occurs twice twice.

    That is what printing or comparing it costs: a list that holds one list twice, and so on forty times, is small in
    memory and has 10¹² leaves.
    """
    total = 0
    waiting = [value]
    while waiting and total <= ALLOWED.largest:
        one = waiting.pop()
        total += 1
        if isinstance(one, (str, bytes)):
            total += len(one)
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple)):
            waiting += one
    return total


def joined(pieces: Iterable[str]) -> str:
    """Return the pieces as one text; they are charged as they come, so that a bounded number waits in memory."""
    iterator, texts = iter(pieces), []
    while chunk := list(islice(iterator, CHUNK)):
        charge(sum(map(len, chunk)))
        texts.append("".join(chunk))
    return "".join(texts)
