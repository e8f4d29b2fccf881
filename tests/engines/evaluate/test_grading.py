"""Grading of answers: known cases, and ROUGE-L against every subsequence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import evaluating as slow

from curate.engines.evaluate.grading import is_accepted, last_number, normal_form, rouge_l, words


def test_normal_form() -> None:
    assert normal_form("  The  Red, apple! ") == "red apple"
    assert normal_form("anthem") == "anthem"  # an article inside a word stays
    assert is_accepted("It's “Paris”.", ["it s paris", "x"])
    assert not is_accepted("Paris, France", ["Paris"])


@pytest.mark.parametrize(
    ("text", "number"),
    [("3 eggs and then 4.50 dollars", "4.5"), ("so 12 #### 1,200.00", "1200"), ("none", None), ("it is -7.", "-7"),
     ("16-3", "-3"), ("#### nothing", None), ("2,000,000", "2000000")],
)  # fmt: skip
def test_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_rouge_l_agrees_with_trying_every_subsequence(answer: list[str], reference: list[str]) -> None:
    common = slow.longest_common(answer, reference)
    expected = 2 * common / (len(answer) + len(reference)) if answer and reference else 0.0
    assert rouge_l(" ".join(answer), " ".join(reference)) == pytest.approx(expected)


def test_words_are_split_and_lower_cased() -> None:
    assert words("A red-hot Apple") == ["a", "red", "hot", "apple"]
