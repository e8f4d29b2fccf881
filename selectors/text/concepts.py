"""Extracts the concepts of texts, their key phrases by RAKE, as integer ids.

Candidate phrases are the runs of words between stop words and punctuation; a word scores degree/frequency over the
candidates of its text, a phrase the sum over its words. Source: RAKE, Rose, Engel, Cramer & Cowley 2010, "Automatic
keyword extraction from individual documents", §1.3. No language is specified or detected.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.text.words import normalised, runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MOST = 12
"""Concepts kept per example."""

MAX_WORDS = 4
"""Words of the longest phrase; a longer run (a list without commas, an unknown language) counts as single words."""


@dataclass(frozen=True)
class Concepts:
    """The concepts of n examples as flat ids with offsets, and the phrase of each id."""

    offsets: NDArray[np.int64]
    """Shape (n + 1,): example i has ``values[offsets[i]:offsets[i + 1]]``."""
    values: NDArray[np.int32]
    """Ids, ascending within each example, each at most once."""
    phrases: list[str]
    """Phrase of each id, normalised; ids are in the order of first occurrence."""


def key_phrases(text: str, most: int = MOST) -> list[str]:
    """Return the `most` highest-scoring phrases of one text, best first, ties in alphabetical order.

    Departures from RAKE: a run of more than four words counts as single words; scripts without spaces are split
    (`curate.selectors.text.words.runs`); a fixed number is kept rather than a third of the candidates.

    Parameters
    ----------
    text : str
        Its first 20,000 characters are read; NFKC and casefold are applied here.
    most : int
    """
    candidates = [phrase for run in runs(normalised(text)) for phrase in _phrases(run)]
    lengths: dict[str, list[int]] = {}
    for phrase in candidates:
        for word in phrase:
            lengths.setdefault(word, []).append(len(phrase))
    # The degree of a word sums the lengths of its phrases, so degree/frequency is their mean length.
    weight = {word: sum(own) / len(own) for word, own in lengths.items()}
    scores = {" ".join(phrase): sum(map(weight.__getitem__, phrase)) for phrase in set(candidates)}
    return sorted(scores, key=lambda phrase: (-scores[phrase], phrase))[:most]


def extract(texts: Iterable[str], most: int = MOST) -> Concepts:
    """Return the concepts of every text, in one pass; time is linear in the characters read.

    Parameters
    ----------
    texts : iterable of str
    most : int
        Largest number of concepts per text.
    """
    ids: dict[str, int] = {}
    offsets, values = array("q", [0]), array("i")
    for text in texts:
        text_ids = [ids.setdefault(phrase, len(ids)) for phrase in key_phrases(text, most)]
        values.extend(sorted(text_ids))
        offsets.append(len(values))
    return Concepts(np.array(offsets, np.int64), np.array(values, np.int32), list(ids))


def _phrases(run: list[str]) -> list[tuple[str, ...]]:
    return [tuple(run)] if len(run) <= MAX_WORDS else [(word,) for word in run]
