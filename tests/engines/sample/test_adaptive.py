"""Waves of samples against a planted generator whose answers are right with known probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.engines.sample.accept import by_reference
from curate.engines.sample.adaptive import draw_adaptively, waves
from curate.engines.sample.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

BEST_OF = 8
PROBABILITIES = (0.0, 0.1, 0.5, 0.9)
ROWS = 100
REPEATS = 40


def test_waves_double_from_the_third_on() -> None:
    assert [list(numbers) for numbers in waves(8)] == [[1], [2], [3, 4], [5, 6, 7, 8]]
    assert [list(numbers) for numbers in waves(6)] == [[1], [2], [3, 4], [5, 6]]
    assert [list(numbers) for numbers in waves(1)] == [[1]]
    assert [len(numbers) for numbers in waves(64)] == [1, 1, 2, 4, 8, 16, 32]


def planted(seed: int) -> tuple[np.ndarray, list]:
    """Return which sample of each row is right, shape (ROWS, BEST_OF), and what was drawn."""
    table = np.repeat(PROBABILITIES, ROWS // len(PROBABILITIES))
    right = np.random.default_rng(seed).random((ROWS, BEST_OF)) < table[:, None]

    def draw(pairs: Sequence[tuple[int, int]]) -> list[Answer]:
        return [Answer("right" if right[row, number - 1] else "wrong", 1, 0.0, False) for row, number in pairs]

    return right, draw_adaptively(["right"] * ROWS, waves(BEST_OF), draw, by_reference)


def test_rows_are_drawn_until_the_first_right_sample() -> None:
    right, drawn = planted(0)
    ends = {number: wave[-1] for wave in waves(BEST_OF) for number in wave}
    for row, one in zip(right, drawn, strict=True):
        first = int(row.argmax()) if row.any() else None
        assert one.verdict.accepted == first
        assert len(one.answers) == (BEST_OF if first is None else ends[first + 1])
        assert [answer.text == "right" for answer in one.answers] == list(row[: len(one.answers)])


@pytest.mark.parametrize("group", range(len(PROBABILITIES)))
def test_samples_and_accepted_shares_follow_the_geometric_law(group: int) -> None:
    p = PROBABILITIES[group]
    size = ROWS // len(PROBABILITIES)
    rows = [one for seed in range(REPEATS) for one in planted(seed)[1][group * size : (group + 1) * size]]
    needed = np.array([BEST_OF if one.verdict.accepted is None else one.verdict.accepted + 1 for one in rows])
    drawn = np.array([len(one.answers) for one in rows])
    accepted = np.array([one.verdict.accepted is not None for one in rows])
    share = 1 - (1 - p) ** BEST_OF
    # A wave is drawn if no sample before it was right.
    expected = sum(len(wave) * (1 - p) ** (wave[0] - 1) for wave in waves(BEST_OF))
    for values, mean in ((needed, share / p if p else BEST_OF), (drawn, expected), (accepted, share)):
        assert abs(values.mean() - mean) <= 3 * values.std() / np.sqrt(len(values)) + 1e-6


def test_without_rows_nothing_is_drawn() -> None:
    assert draw_adaptively([], waves(BEST_OF), lambda pairs: pytest.fail("nothing to draw"), by_reference) == []
