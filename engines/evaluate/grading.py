"""Grades answers as text: normal forms, the final number, overlap with a reference. Pure functions of strings."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

_MINUS = str.maketrans(dict.fromkeys("−﹣－‐‑–", "-") | {"⁄": "/"})
"""A minus sign (U+2212) and the dashes and the fraction slash that are typed for ``-`` and ``/``."""
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_VULGAR_FRACTIONS = re.compile("[¼-¾⅐-⅞]")
_GROUPED = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d{1,3}(?:['’\u00A0\u2009\u202F]\d{3})+)(?![\w'’]|,\d)"
)
"""A number with separators of thousands (or of lakhs): ``1,200``, ``1'200``, ``1,00,000``; not the list ``1,2,3``."""

_ARTICLES = re.compile(r"(?<!\w)(?<!\w['-])(?:an|a|the)\s+(?=[\"'“‘«(\[]*\w)")
"""Articles, which a word follows: in "vitamin A", "A, B" and "a + b" the letter is none."""
_EMPHASIS = re.compile(r"(?<!\w)(\*\*|__|\*|_|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
"""Emphasis of Markdown."""
_MEANINGFUL = re.compile(
    r"(?<![\w)\]])-(?=[$€£¥]?\.?\d)"  # the sign of a number
    r"|(?<![\w.])\.(?=\d)|(?<=\d)[.,:/*-](?=\d)"  # within a number, a time, a fraction, a product or a range
    r"|(?<=\b[^\W\d_])[-*#]+(?!\w)"  # behind a single letter: C#, A-, A*
    r"|\^"
)
"""Punctuation without which a different answer would have the same normal form."""
_DECORATION = "©®"

_NUMBER = (
    r"(?P<sign>(?<![\w)\]%.-])-[$€£¥]?|[$€£¥]-)?"
    r"(?P<number>(?<![/\d])\d+/\d+(?![/\d])|(?:\d+(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][+-]?\d{1,2}(?!\w))?)"
)
"""A hyphen behind a digit or a letter is no sign: "10-15" is a range."""
_LAST = re.compile(_NUMBER)
_MARKED = re.compile(r"####[^\w\n]*?" + _NUMBER)


def normal_form(text: str) -> str:
    """Return `text` as answers are compared: case-folded, without punctuation, articles and extra white space.

    The normal form of SQuAD (Rajpurkar et al. 2016, evaluate-v1.1.py) for any script, as MLQA (Lewis et al. 2020) has
    it: Unicode decides what is punctuation. Where that would make different answers equal, it is narrower: signs,
    decimal points and mathematical symbols stay ("-5", "3.5", "C++", "≤"), a letter at the end is no article
    ("vitamin A"), and a text of symbols only stays as it is. It is empty only for white space.
    """
    folded = _canonical_characters(text).casefold().strip()
    if not any(character.isalnum() for character in folded):
        symbols = "".join(folded.split())
        return symbols.strip("\"'`“”‘’").rstrip(".") or symbols
    folded = re.sub(r"(?<=\d)\s+-\s+(?=\d)", "-", _EMPHASIS.sub(r"\2", folded)).removeprefix("+")
    folded = _ARTICLES.sub("", folded)
    meaningful = {position for match in _MEANINGFUL.finditer(folded) for position in range(*match.span())}
    kept = (c if i in meaningful else _without_punctuation(c) for i, c in enumerate(folded))
    return " ".join("".join(kept).split()) or folded


def is_accepted(answer: str, accepted: list[str]) -> bool:
    """Return True if an answer equals, in normal form, one of the accepted answers; an empty answer never does."""
    form = normal_form(answer)
    return bool(form) and form in {normal_form(reference) for reference in accepted}


def last_number(text: str) -> str | None:
    """Return the final number of a worked answer in canonical form; None without a number.

    As lm-eval's gsm8k has it: the number behind the first ``####`` that has one ("strict-match"; a model that goes on
    with another question must not change its answer), else the last number ("flexible-extract"), without currency,
    thousands separators and the full stop. Beyond it, equal numbers have one form: ``05`` and ``5.0`` are ``5``, and
    U+2212 is a minus. Of a range, the last number: "10-15" ends in ``15``. A fraction stays: ``1/2``.
    """
    plain = _canonical_characters(text)
    match = _MARKED.search(plain)
    if match is None:
        # Words behind the mark: the answer is still what follows it, not the working before it.
        behind = plain.partition("####")[2] if "####" in plain else plain
        match = next(reversed(list(_LAST.finditer(behind))), None)
    return None if match is None else _canonical_number(match)


def _canonical_number(match: re.Match[str]) -> str:
    number = match["number"]
    if "/" not in number:
        # "f" writes exponents out, exactly: Decimal does not round a number that it is given as text.
        integer, _, fraction = format(Decimal(number), "f").partition(".")
        number = f"{integer.lstrip('0') or '0'}.{fraction.rstrip('0')}".removesuffix(".")
    return f"-{number}" if match["sign"] and number != "0" else number


def _canonical_characters(text: str) -> str:
    """Return `text` in Unicode's form NFKC, with one minus sign, and with numbers without thousands separators."""
    # NFKC would make 10² the number 102, 1½ the fraction 11/2, and separators of thousands ordinary spaces.
    text = _SUPERSCRIPTS.sub(r"^\g<0>", text)
    text = _VULGAR_FRACTIONS.sub(r" \g<0>", text)
    text = unicodedata.normalize("NFKC", _GROUPED.sub(_without_groups, text)).translate(_MINUS)
    return _GROUPED.sub(_without_groups, text)  # again for full-width digits


def _without_groups(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match[0])


def _without_punctuation(character: str) -> str:
    """Return a character as it is compared: nothing for punctuation, a word of its own for a symbol with a meaning."""
    category = unicodedata.category(character)
    if category[0] == "P" or category in {"Sc", "Sk", "Cf"} or character in _DECORATION:
        return ""
    return f" {character} " if category[0] == "S" else character


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"\w+", text.casefold())


def rouge_l(answer: str, reference: str) -> float:
    """Return ROUGE-L F1 (Lin 2004): the longest common subsequence of words relative to both lengths, in [0, 1]."""
    answer_words, reference_words = words(answer), words(reference)
    if not answer_words or not reference_words:
        return 0.0
    common = _longest_common(answer_words, reference_words)
    return 2 * common / (len(answer_words) + len(reference_words))


def _longest_common(first: list[str], second: list[str]) -> int:
    """Return the length of the longest common subsequence, keeping one row of the dynamic programming table."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0  # table entry up and to the left, overwritten one step before it is needed
        for j, other in enumerate(second, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]
