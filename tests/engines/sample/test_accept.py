"""Which answers are accepted, by the reference and by agreement."""

from __future__ import annotations

import math

import pytest

from curate.engines.sample.accept import by_agreement, by_reference, has_check, judge_of, matches
from curate.engines.sample.answer import Answer
from curate.engines.sample.scorer import Scorer


def answers(*texts: str, cut: tuple[int, ...] = ()) -> list[Answer]:
    return [Answer(text, 3, -0.5, index in cut) for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "reference", "same"),
    [
        ("Paris.", "paris", True),
        ("the red apple", "Red apple", True),
        ("London", "Paris", False),
        ("", "Paris", False),
        ("3 + 4 makes 7 apples", "7", True),
        ("The answer is 8.", "7", False),
        ("She has 5, so #### 1,200", "2 * 600 = 1200\n#### 1200", True),
        ("#### 1201", "2 * 600 = 1200\n#### 1200", False),
        ("Napoleon was born in 1769", "The revolution began after 1769", False),
        ("no number", "#### 3", False),
    ],
)
def test_an_answer_matches_by_normal_form_or_by_the_number_that_is_the_result(
    text: str, reference: str, same: bool
) -> None:
    assert matches(text, reference) is same


def test_the_first_answer_that_equals_the_reference_is_accepted() -> None:
    verdict = by_reference(answers("no", "Yes", "yes"), "yes")
    assert verdict.passed == (False, True, True)
    assert verdict.scores == (0.0, 1.0, 1.0)
    assert verdict.accepted == 1
    assert by_reference(answers("no", "perhaps"), "yes").accepted is None


def test_an_answer_that_was_cut_off_is_not_accepted() -> None:
    assert by_reference(answers("yes", cut=(0,)), "yes").accepted is None
    verdict = by_agreement(answers("yes", "yes", "yes", "yes", cut=(0, 1)), 0.75)
    assert verdict.accepted is None
    assert verdict.scores == (0.0, 0.0, 0.5, 0.5)


def test_agreement_needs_three_samples_and_the_share() -> None:
    assert by_agreement(answers("yes", "yes"), 0.6).accepted is None
    verdict = by_agreement(answers("no", "Yes.", "yes"), 0.6)
    assert verdict.passed == (None, None, None)
    assert verdict.scores == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert verdict.accepted == 1
    assert by_agreement(answers("no", "yes", "yes"), 0.75).accepted is None
    assert by_agreement(answers("", "", ""), 0.75).accepted is None


LONG = "It depends on what you like, but most people would rather go there in spring than in summer."


@pytest.mark.parametrize(
    ("reference", "checked"),
    [("7", True), ("Paris.", True), ("2 * 600 = 1200 apples in all, so the answer is #### 1200", True), (LONG, False),
     ("", False), (f"{LONG} In 1769.", False)],
)  # fmt: skip
def test_a_number_or_a_short_reference_can_be_repeated(reference: str, checked: bool) -> None:
    assert has_check(reference) is checked


def test_a_score_decides_only_where_the_reference_is_long() -> None:
    likely, unlikely = Answer("spring", 2, math.log(0.9) / 2, False), Answer("summer", 2, math.log(0.5) / 2, False)
    judge = judge_of("likelihood", 0.75, Scorer(0.6))
    verdict = judge([unlikely, likely, Answer("spring", 2, 0.0, True)], LONG)
    assert verdict.passed == (None, None, None)
    assert verdict.scores == pytest.approx((0.5, 0.9, 0.0))
    assert verdict.accepted == 1
    assert judge([likely], "summer") == by_reference([likely], "summer")


def test_while_a_score_is_calibrated_nothing_is_accepted() -> None:
    verdict = judge_of("selfeval", 0.75)(answers("no", "yes"), "yes")
    assert verdict.passed == (False, True)
    assert verdict.accepted is None
