"""Grading of answers: known cases, ROUGE-L against every subsequence, and the rules of instructions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import evaluating as slow

from curate.engines.evaluate.grading import is_accepted, last_number, normal_form, rouge_l, words
from curate.engines.evaluate.rules import RULES, follows_all, parse_rule
from curate.schemas.errors import InputError


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


@pytest.mark.parametrize(
    ("rule", "following", "breaking"),
    [
        ("max_words: 2", "two words", "now three words"),
        ("min_words: 2", "two words", "one"),
        ("lines: 2", "a\n\nb", "a"),
        ("bullets: 2", "- a\n* b", "a\nb"),
        ("max_characters: 3", "abc", "abcd"),
        ("contains: Apple", "an apple", "a pear"),
        ("excludes: apple", "a pear", "an APPLE"),
        ("starts_with: Yes", "Yes, sir", "No"),
        ("ends_with: sir", "Yes, sir", "sir?"),
        ("equals: yes", "yes", "yes."),
        ("matches: ^[a-c]+$", "abc", "abd"),
        ("json", '{"a": 1}', "{a: 1}"),
        ("lower_case", "abc", "Abc"),
        ("upper_case", "ABC", "Abc"),
        ("no_commas", "a b", "a, b"),
        ("not_empty", "a", ""),
    ],
)
def test_every_rule_can_be_followed_and_broken(rule: str, following: str, breaking: str) -> None:
    assert parse_rule(rule)(following)
    assert not parse_rule(rule)(breaking)
    assert follows_all(f" {following}\n", [rule])
    assert not follows_all(following, [rule, "equals: something else"])


def test_every_rule_is_tested() -> None:
    marks = test_every_rule_can_be_followed_and_broken.pytestmark  # type: ignore[attr-defined]
    assert {case[0].partition(":")[0] for case in marks[0].args[1]} == set(RULES)


@pytest.mark.parametrize(
    ("rule", "message"),
    [("max_word: 2", "did you mean 'max_words'"), ("max_words: few", "takes a whole number"), ("json: yes", "no value"),
     ("matches: (", "takes a text"), ("contains:", "takes a text")],
)  # fmt: skip
def test_an_invalid_rule_is_rejected(rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_rule(rule)
