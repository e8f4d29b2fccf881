"""Instructions that can be checked by rule: ``"max_words: 20"``, ``"contains: apple"``, ``"json"``.

In the manner of IFEval (arXiv 2311.07911): an answer scores 1 if it keeps every rule of its prompt. Pure functions of
strings. Knows nothing of models.
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


WITH_NUMBER: dict[str, Callable[[str, int], bool]] = {
    "max_words": lambda text, n: len(words(text)) <= n,
    "min_words": lambda text, n: len(words(text)) >= n,
    "lines": lambda text, n: _lines(text) == n,
    "bullets": lambda text, n: _bullets(text) == n,
    "max_characters": lambda text, n: len(text) <= n,
}
WITH_TEXT: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part.casefold() in text.casefold(),
    "excludes": lambda text, part: part.casefold() not in text.casefold(),
    "starts_with": lambda text, part: text.startswith(part),
    "ends_with": lambda text, part: text.endswith(part),
    "equals": lambda text, part: text == part,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
}
ALONE: dict[str, Callable[[str], bool]] = {
    "json": _is_json,
    "lower_case": lambda text: text == text.lower(),
    "upper_case": lambda text: text == text.upper(),
    "no_commas": lambda text: "," not in text,
    "not_empty": lambda text: bool(text.strip()),
}
RULES = (*WITH_NUMBER, *WITH_TEXT, *ALONE)


def keeps_all(said: str, rules: Sequence[str]) -> bool:
    """Return True if an answer, outer white space taken away, keeps every rule."""
    text = said.strip()
    return all(check(rule)(text) for rule in rules)


def check(rule: str) -> Callable[[str], bool]:
    """Return the test that a rule states.

    Raises
    ------
    InputError
        If there is no such rule, or its value is missing or cannot mean anything.
    """
    name, colon, value = (part.strip() for part in rule.partition(":"))
    if name in ALONE and not colon:
        return ALONE[name]
    if name in WITH_NUMBER and value.isdecimal():
        return lambda text: WITH_NUMBER[name](text, int(value))
    if name in WITH_TEXT and value and (name != "matches" or _compiles(value)):
        return lambda text: WITH_TEXT[name](text, value)
    if name in RULES:
        wanted = "a whole number" if name in WITH_NUMBER else "a text" if name in WITH_TEXT else "no value"
        raise InputError(f"rule {rule!r} takes {wanted} after the colon; for example max_words: 20 or contains: apple")
    raise InputError(f"rule {rule!r} is unknown{did_you_mean(name, RULES)}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
