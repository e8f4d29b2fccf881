"""Phrases that name groups of texts: against a slow reference, and on texts of known answer."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from curate.selectors.text.phrases import MIN_SHARE, phrases_of, rows_read, telling_phrases
from curate.selectors.text.words import carries_meaning

OPENINGS = ("write a story about", "sum the numbers of", "name the capital of")
THINGS = ("the red fox", "a small river", "Spain", "five old coins")


def corpus() -> tuple[list[str], np.ndarray]:
    """Return twelve texts of each of three tasks about the same things, in a mixed order."""
    pairs = [(k, f"{OPENINGS[k]} {thing}, please.{i}") for i, k, thing in product(range(3), range(3), THINGS)]
    order = np.random.default_rng(3).permutation(len(pairs))
    return [pairs[i][1] for i in order], np.array([pairs[i][0] for i in order])


def slow_name(texts: list[str], labels: np.ndarray, label: int, n_phrases: int = 3) -> list[str]:
    """Return the phrases of one group by looking each candidate up in every row of every group."""

    def share(phrase: str, of: int) -> float:
        rows = [text for text, one in zip(texts, labels, strict=True) if one == of]
        held = sum(f" {phrase} " in f" {text.lower().replace(',', ' | ').replace('.', ' | ')} " for text in rows)
        return held / len(rows) if held >= max(2.0, MIN_SHARE * len(rows)) else 0.0

    scored = []
    for text in {text.lower() for text, one in zip(texts, labels, strict=True) if one == label}:
        words = text.partition(",")[0].split()
        for i, j in product(range(len(words)), repeat=2):
            if i <= j < i + 4 and carries_meaning(words[i]) and carries_meaning(words[j]):
                phrase = " ".join(words[i : j + 1])
                mean = sum(share(phrase, of) for of in set(labels.tolist())) / len(set(labels.tolist()))
                if share(phrase, label):
                    score = share(phrase, label) * math.log(share(phrase, label) / mean) * math.log2(2 + j - i)
                    scored.append((-round(score, 12), i - j, phrase))
    chosen: list[str] = []
    for score, _, phrase in sorted(set(scored)):
        used = {word for other in chosen for word in other.split() if carries_meaning(word)}
        if score < 0 and len(chosen) < n_phrases and not used & set(phrase.split()):
            chosen.append(phrase)
    return chosen


def test_it_agrees_with_the_slow_reference() -> None:
    texts, labels = corpus()
    fast = telling_phrases(texts, labels)
    assert fast == {label: slow_name(texts, labels, label) for label in range(3)}
    assert [fast[label][0] for label in range(3)] == ["write a story", "sum the numbers", "name the capital"]


def test_what_all_groups_share_names_none() -> None:
    texts = ["hello friend"] * 8
    assert telling_phrases(texts, np.arange(8) % 2) == {0: [], 1: []}
    assert telling_phrases(texts, np.zeros(8, np.int64)) == {0: ["hello friend"]}
    assert telling_phrases([], np.empty(0, np.int64)) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sort the LIST. Now!", {"sort", "sort the list", "list"}),
        ("a\nb\r\nthe of", set()),
        ("don't know-how 42", {"know-how"}),
        ("机器学习", {"机器", "器学", "学习"}),
        ("\x00 \ud800 naïve", {"naïve"}),
    ],
)
def test_phrases_of_a_text(text: str, expected: set[str]) -> None:
    assert phrases_of(text) == expected


def test_rows_are_spread_evenly_over_each_group() -> None:
    labels = np.array([5] * 10 + [2] * 3)
    assert rows_read(labels, 5).tolist() == [0, 2, 4, 6, 8, 10, 11, 12]
    assert rows_read(np.empty(0, np.int64)).tolist() == []
