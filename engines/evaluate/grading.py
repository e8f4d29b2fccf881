"""How an answer in words is judged: normal forms, the last number, overlap with a reference.

Pure functions of strings. Knows nothing of models.
"""

from __future__ import annotations

import re
import unicodedata

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_FINAL = "####"


def normal_form(text: str) -> str:
    """Return `text` as answers are compared: case folded, without punctuation, articles and extra white space.

    The normal form of SQuAD (Rajpurkar et al. 2016), for any script: punctuation is what Unicode calls so.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in folded)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def is_accepted(said: str, accepted: list[str]) -> bool:
    """Return True if an answer is, in normal form, one of the accepted ones."""
    return normal_form(said) in {normal_form(one) for one in accepted}


def last_number(text: str) -> str | None:
    """Return the number that a worked answer arrives at: the last one, after ``####`` where that stands.

    Thousands separators and a fraction of zeros are dropped, so that ``1,200.00`` and ``1200`` are one number.
    """
    _, mark, after = text.rpartition(_FINAL)
    found = _NUMBER.findall(after if mark else text)
    if not found:
        return None
    number = found[-1].replace(",", "")
    whole, point, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if point and fraction else whole


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, for counting overlap."""
    return re.findall(r"\w+", text.casefold())


def rouge_l(said: str, reference: str) -> float:
    """Return ROUGE-L F1 (Lin 2004): the longest common subsequence of words, against both lengths, in [0, 1]."""
    ours, theirs = words(said), words(reference)
    if not ours or not theirs:
        return 0.0
    common = _longest_common(ours, theirs)
    return 2 * common / (len(ours) + len(theirs))


def _longest_common(first: list[str], second: list[str]) -> int:
    """Return the length of the longest common subsequence, in memory for one row of the table."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for j, other in enumerate(second, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]
