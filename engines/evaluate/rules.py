"""Instructions that can be checked by rule: ``"max_words: 20"``, ``"contains: apple"``, ``"json"``.

Like IFEval (arXiv 2311.07911): an answer scores 1 if it follows every rule of its prompt. Pure functions of strings.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from curate.engines.evaluate.grading import words
from curate.schemas.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _bullets(text: str) -> int:
    return sum(bool(re.match(r"\s*[-*•]\s", line)) for line in text.splitlines())


def _lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


NUMBER_RULES: dict[str, Callable[[str, int], bool]] = {
    "max_words": lambda text, n: len(words(text)) <= n,
    "min_words": lambda text, n: len(words(text)) >= n,
    "lines": lambda text, n: _lines(text) == n,
    "bullets": lambda text, n: _bullets(text) == n,
    "max_characters": lambda text, n: len(text) <= n,
}
TEXT_RULES: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part.casefold() in text.casefold(),
    "excludes": lambda text, part: part.casefold() not in text.casefold(),
    "starts_with": lambda text, part: text.startswith(part),
    "ends_with": lambda text, part: text.endswith(part),
    "equals": lambda text, part: text == part,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
}
PLAIN_RULES: dict[str, Callable[[str], bool]] = {
    "json": _is_json,
    "lower_case": lambda text: text == text.lower(),
    "upper_case": lambda text: text == text.upper(),
    "no_commas": lambda text: "," not in text,
    "not_empty": lambda text: bool(text.strip()),
}
RULES = (*NUMBER_RULES, *TEXT_RULES, *PLAIN_RULES)


def follows_all(answer: str, rules: Sequence[str]) -> bool:
    """Return True if an answer, stripped of outer white space, follows every rule."""
    text = answer.strip()
    return all(parse_rule(rule)(text) for rule in rules)


def parse_rule(rule: str) -> Callable[[str], bool]:
    """Return the predicate of a rule.

    Raises
    ------
    InputError
        If there is no such rule, or its value is missing or invalid.
    """
    name, colon, value = (part.strip() for part in rule.partition(":"))
    if name in PLAIN_RULES and not colon:
        return PLAIN_RULES[name]
    if name in NUMBER_RULES and value.isdecimal():
        return lambda text: NUMBER_RULES[name](text, int(value))
    if name in TEXT_RULES and value and (name != "matches" or _compiles(value)):
        return lambda text: TEXT_RULES[name](text, value)
    if name in RULES:
        expected = "a whole number" if name in NUMBER_RULES else "a text" if name in TEXT_RULES else "no value"
        raise InputError(
            f"rule {rule!r} takes {expected} after the colon; for example max_words: 20 or contains: apple"
        )
    raise InputError(f"rule {rule!r} is unknown{did_you_mean(name, RULES)}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
