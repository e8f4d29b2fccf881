"""Grades answers as text: normal forms, the last number, overlap with a reference. Pure functions of strings."""

from __future__ import annotations

import re
import unicodedata

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_FINAL = "####"


def normal_form(text: str) -> str:
    """Return `text` as answers are compared: case-folded, without punctuation, articles and extra white space.

    The normal form of SQuAD (Rajpurkar et al. 2016) for any script: Unicode decides what is punctuation.
    """
    # NFKC first, so that full-width and composed characters compare equal.
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in folded)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def is_accepted(answer: str, accepted: list[str]) -> bool:
    """Return True if an answer equals, in normal form, one of the accepted answers."""
    return normal_form(answer) in {normal_form(reference) for reference in accepted}


def last_number(text: str) -> str | None:
    """Return the final number of a worked answer: the last one, after ``####`` if present; None without a number.

    Thousands separators and trailing zeros of a fraction are dropped, so that ``1,200.00`` equals ``1200``.
    """
    # GSM8K marks its final answer with ####. The sign also matches a hyphen: "16-3" ends with -3.
    _, mark, after = text.rpartition(_FINAL)
    numbers = _NUMBER.findall(after if mark else text)
    if not numbers:
        return None
    number = numbers[-1].replace(",", "")
    integer, point, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    return f"{integer}.{fraction}" if point and fraction else integer


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
