"""Makes continuation items from plain text: the words that truly follow against words that follow elsewhere.

Needs no answers and no templates, so it measures what a model keeps of any text, as accuracy rather than as likelihood.
The wrong options are continuations of other passages of the same source, of the same length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.artefacts import digest
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONTEXT_WORDS = 40
OPTION_WORDS = 10
OPTIONS = 4


def passages(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return context and following words of every passage: disjoint runs of 50 words within one line.

    White space within a passage becomes one space, so that the space before an option is that of the text.
    """
    pairs = []
    for text in texts:
        for line in text.splitlines():
            words = line.split()
            for start in range(0, len(words) - CONTEXT_WORDS - OPTION_WORDS + 1, CONTEXT_WORDS + OPTION_WORDS):
                cut, stop = start + CONTEXT_WORDS, start + CONTEXT_WORDS + OPTION_WORDS
                pairs.append((" ".join(words[start:cut]), " ".join(words[cut:stop])))
    return pairs


def continuations(source: str, texts: Iterable[str]) -> Iterator[tuple[str, list[str], int]]:
    """Yield context, options and the position of the true one of every passage; the same for the same texts.

    Raises
    ------
    InputError
        If there are too few passages with different continuations.
    """
    known = passages(texts)
    distinct = sorted({option for _, option in known})
    if len(distinct) < OPTIONS:
        raise InputError(
            f"{source} has {len(distinct)} different passages of {CONTEXT_WORDS + OPTION_WORDS} words on one line "
            f"and a continuation task needs {OPTIONS}; give a longer text"
        )
    for context, true in known:
        draw = int(digest([context, true]), 16)
        options: list[str] = []
        place = draw % len(distinct)
        # Neighbours in alphabetical order, not in the text, where the next passage is about the same.
        while len(options) < OPTIONS - 1:
            if distinct[place] != true:
                options.append(distinct[place])
            place = (place + 1) % len(distinct)
        answer = draw // len(distinct) % OPTIONS
        options.insert(answer, true)
        yield context, options, answer
