"""Reference near-duplicates and contamination by loops over sets of words."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Gram = tuple[str, ...]


def grams_loop(pieces: Sequence[str], n: int) -> set[Gram]:
    """Word n-grams of a text of spaced words."""
    grams: set[Gram] = set()
    for piece in pieces:
        words = re.findall(r"\w+", unicodedata.normalize("NFKC", piece).casefold())
        if words and len(words) < n:
            grams.add(tuple(words))
        grams |= {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
    return grams


def jaccard_loop(a: set[Gram], b: set[Gram]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def drop_loop(n: int, similar: Callable[[int, int], bool]) -> list[bool]:
    """Which rows are dropped when each row is compared with every kept row before it."""
    kept: list[int] = []
    dropped = []
    for row in range(n):
        repeats = any(similar(first, row) for first in kept)
        dropped.append(repeats)
        if not repeats:
            kept.append(row)
    return dropped


def contamination_loop(row: set[Gram], items: Sequence[set[Gram]], least: float) -> tuple[int, float] | None:
    """The item of which the row holds the largest share, if that is enough."""
    best: tuple[int, float] | None = None
    for place, item in enumerate(items):
        share = len(row & item) / len(item) if item else 0.0
        if share >= least and (best is None or share > best[1]):
            best = place, share
    return best
