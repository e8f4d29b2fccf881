"""Every rule of an instruction can be followed and broken; invalid rules are rejected."""

from __future__ import annotations

import pytest

from curate.engines.evaluate.rules import RULES, follows_all, parse_rule
from curate.schemas.errors import InputError


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
