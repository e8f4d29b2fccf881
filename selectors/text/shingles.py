"""Represents texts as sets of word n-grams (shingles), hashed to 64 bits, for near-duplicates and contamination.

The same words give the same hashes in every run and corpus.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from curate.selectors.text.words import UNSPACED_SCRIPTS, normalised

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, odd: multiplication by it is a bijection modulo 2^64 that mixes well."""


@dataclass(frozen=True)
class Shingles:
    """The distinct n-grams of n texts, as flat values with offsets."""

    offsets: NDArray[np.int64]
    """Shape (n + 1,): text i has ``values[offsets[i]:offsets[i + 1]]``."""
    values: NDArray[np.uint64]
    """Ascending and distinct within each text."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def owner(self) -> NDArray[np.int64]:
        """Index of the text of each value."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def of(self, texts: NDArray[np.int64]) -> Shingles:
        """Return the n-grams of some texts, in the order given."""
        lengths = np.diff(self.offsets)[texts]
        ends = np.cumsum(lengths)
        within = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
        return Shingles(np.concatenate([[0], ends]), self.values[within + np.repeat(self.offsets[texts], lengths)])

    def matrix(self, known: NDArray[np.uint64]) -> sparse.csr_array:
        """Return the indicator matrix of texts by n-grams; n-grams that are not among `known` (ascending) are left out.

        Returns
        -------
        csr_array of shape (n, len(known)), int32
        """
        # Binary search returns where a value would be inserted; it is a hit only if the value there is equal.
        place = np.minimum(np.searchsorted(known, self.values), max(len(known) - 1, 0))
        hit = known[place] == self.values if len(known) else np.zeros(len(self.values), np.bool_)
        rows = np.cumsum(np.bincount(self.owner[hit], minlength=len(self)))
        starts = np.concatenate([[0], rows])
        ones = np.ones(int(hit.sum()), np.int32)
        return sparse.csr_array((ones, place[hit], starts), shape=(len(self), max(len(known), 1)))


def shingles(texts: Iterable[tuple[str, ...]], n: int) -> Shingles:
    """Return the word n-grams of each text; time is linear in the characters read.

    A word is a run of letters and digits, NFKC-normalised and casefolded; in scripts without spaces, one character. A
    piece of fewer than n words is one n-gram of all its words.

    Parameters
    ----------
    texts : iterable of tuple of str
        The pieces of each text; no n-gram spans two pieces. The first 20,000 characters of each are read.
    n : int
        Words per n-gram, at least 1.
    """
    # A word is hashed once per corpus; everything after is arithmetic on arrays.
    hashes: dict[str, int] = {}
    words, lengths, owners = array("Q"), array("q"), array("q")
    count = 0
    for count, pieces in enumerate(texts, start=1):
        for piece in pieces:
            piece_words = _word().findall(normalised(piece))
            if piece_words:
                words.extend([hashes.get(word) or hashes.setdefault(word, _hash(word)) for word in piece_words])
                lengths.append(len(piece_words))
                owners.append(count - 1)
    grams, owner = _grams(np.array(words, np.uint64), np.array(lengths, np.int64), n)
    return _distinct(grams, np.array(owners, np.int64)[owner], count)


def jaccard(a: Shingles, b: Shingles) -> NDArray[np.float64]:
    """Return |A ∩ B| / |A ∪ B| of each pair of texts, shape (n,), in [0, 1]; 0 where both are empty."""
    known = np.unique(a.values)
    product: Any = a.matrix(known).multiply(b.matrix(known))
    shared = np.asarray(product.sum(axis=1), dtype=np.float64).ravel()
    union = np.diff(a.offsets) + np.diff(b.offsets) - shared
    out: NDArray[np.float64] = np.divide(shared, union, out=np.zeros(len(a)), where=union > 0)
    return out


def _grams(
    words: NDArray[np.uint64], lengths: NDArray[np.int64], n: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the n-grams of all pieces, and the piece of each: Σ word_j · factor^(size−1−j) modulo 2⁶⁴.

    A polynomial hash, so that the order of words matters.
    """
    starts = np.cumsum(lengths) - lengths
    grams, owner = [], []
    for size in range(1, n + 1):
        pieces = np.flatnonzero(lengths == size if size < n else lengths >= n)
        per_piece = lengths[pieces] - size + 1
        first = np.repeat(starts[pieces], per_piece)
        at = first + np.arange(len(first)) - np.repeat(np.cumsum(per_piece) - per_piece, per_piece)
        # Starting from the size keeps n-grams of different lengths apart.
        gram = np.full(len(at), size, np.uint64)
        for place in range(size):
            gram = gram * _FACTOR + words[at + place]
        grams.append(gram)
        owner.append(np.repeat(pieces, per_piece))
    return np.concatenate(grams), np.concatenate(owner)


def _distinct(grams: NDArray[np.uint64], owner: NDArray[np.int64], n: int) -> Shingles:
    order = np.lexsort((grams, owner))
    grams, owner = grams[order], owner[order]
    new = np.ones(len(grams), np.bool_)
    new[1:] = (grams[1:] != grams[:-1]) | (owner[1:] != owner[:-1])
    return Shingles(np.concatenate([[0], np.cumsum(np.bincount(owner[new], minlength=n))]), grams[new])


def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@cache
def _word() -> re.Pattern[str]:
    return re.compile(rf"[{UNSPACED_SCRIPTS}]|[^\W{UNSPACED_SCRIPTS}]+")
