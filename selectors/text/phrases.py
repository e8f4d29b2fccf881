"""Names groups of texts by the phrases that tell them apart, word for word as they stand in the texts.

Score of a phrase in a group: p · log(p / m) · log₂(1 + words), p the share of the group's rows that hold it, m the mean
of these shares over the groups, in which shares below `MIN_SHARE` count as none. The first two factors are the phrase's
part of the Kullback–Leibler divergence of the group from the mean group; c-TF-IDF (Grootendorst 2022, arXiv 2203.05794)
has tf · log(1 + A/f) in their place, which hardly punishes phrases that all groups share. The third prefers a phrase to
a part of it that is little more frequent.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.text.words import UNSPACED_SCRIPTS, carries_meaning, normalised, runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

PHRASES = 3
"""Phrases per group."""

ROWS = 200
"""Rows read per group, evenly spaced: a share is then known to 0.07 (two standard errors), enough for a name."""

MAX_CHARACTERS = 400
"""Characters read of one text: what is asked stands at its beginning, pasted material behind."""

MAX_WORDS = 4
"""Words of the longest phrase."""

MIN_SHARE = 0.03
"""Smallest share of the rows of a group that hold a phrase of its name; at least two rows, where it has two."""

_BREAK = re.compile(r"[^\w\s'’\-]+|[\r\n]+")
_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
_UNSPACED = re.compile(f"[{UNSPACED_SCRIPTS}]")


def rows_read(labels: NDArray[np.integer], each: int = ROWS) -> NDArray[np.int64]:
    """Return the sorted indices of at most `each` evenly spaced rows of every label, labels of shape (n,)."""
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.arange(min(each, len(members))) * len(members) // min(each, len(members))])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def telling_phrases(
    texts: Sequence[str], labels: NDArray[np.integer], n_phrases: int = PHRASES
) -> dict[int, list[str]]:
    """Return the phrases that tell each group of texts from the others, best first.

    A phrase has one to `MAX_WORDS` adjacent words without punctuation between them, and begins and ends with a content
    word. One that shares a content word with a better phrase of its group is left out. A single group gets the phrases
    of most of its rows.

    Parameters
    ----------
    texts : sequence of str, n
        Usually the rows of `rows_read`.
    labels : ndarray of shape (n,), integer
    n_phrases : int

    Returns
    -------
    dict of int to list of str
        Label to at most `n_phrases` phrases, in lower case; fewer, or none, where nothing is telling. Ties: longer
        phrases first, then alphabetical order.
    """
    shares = {
        int(label): _shares([texts[row] for row in np.flatnonzero(labels == label).tolist()])
        for label in np.unique(labels)
    }
    total: defaultdict[str, float] = defaultdict(float)
    for held in shares.values():
        for phrase, share in held.items():
            total[phrase] += share
    return {label: _name(held, total, len(shares), n_phrases) for label, held in shares.items()}


def phrases_of(text: str) -> set[str]:
    """Return the phrases of a text (see `telling_phrases`); in scripts without spaces, pairs of characters."""
    phrases: set[str] = set()
    for piece in _BREAK.split(normalised(text[:MAX_CHARACTERS])):
        if _UNSPACED.search(piece):
            phrases.update(word for run in runs(piece) for word in run)
        else:
            phrases.update(_adjacent(_WORD.findall(piece)))
    return phrases


def _adjacent(words: list[str]) -> Iterator[str]:
    ends = [place for place, word in enumerate(words) if carries_meaning(word)]
    for first in ends:
        yield from (" ".join(words[first : last + 1]) for last in ends if 0 <= last - first < MAX_WORDS)


def _shares(texts: list[str]) -> dict[str, float]:
    """Return the share of the texts that hold each phrase, of phrases in enough of them to be in the group's name."""
    counts = Counter(phrase for text in texts for phrase in phrases_of(text))
    least = min(max(2.0, MIN_SHARE * len(texts)), len(texts))
    return {phrase: count / len(texts) for phrase, count in counts.items() if count >= least}


def _name(held: Mapping[str, float], total: Mapping[str, float], n_groups: int, n_phrases: int) -> list[str]:
    def score(phrase: str) -> float:
        # A single group has nothing to differ from: its most frequent phrases name it.
        surprise = np.log(held[phrase] * n_groups / total[phrase]) if n_groups > 1 else 1.0
        return float(held[phrase] * surprise * np.log2(2 + phrase.count(" ")))

    scores = {phrase: score(phrase) for phrase in held}
    chosen: list[str] = []
    used: set[str] = set()
    for phrase in sorted(held, key=lambda one: (-round(scores[one], 12), -one.count(" "), one)):
        content = {word for word in phrase.split() if carries_meaning(word)}
        if len(chosen) == n_phrases or scores[phrase] <= 0:
            break
        if not content & used:
            chosen.append(phrase)
            used |= content
    return chosen
