"""Draws samples in waves until each row has an accepted one. Knows no model: the caller draws and judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from curate.engines.sample.answer import Answer, Verdict

    Draw = Callable[[Sequence[tuple[int, int]]], Sequence[Answer]]
    Judge = Callable[[Sequence[Answer], str], Verdict]


@dataclass(frozen=True, slots=True)
class Drawn:
    """All answers drawn for one row, by number, and their verdict."""

    answers: tuple[Answer, ...]
    verdict: Verdict


def waves(best_of: int) -> Iterator[range]:
    """Yield the numbers of the samples of each wave: 1, 2, 3–4, 5–8, …, at most `best_of`.

    The second wave is as small as the first, because most rows need two samples at most; later ones double, so that a
    device has enough to do.
    """
    first, size = 1, 1
    while first <= best_of:
        yield range(first, min(first + size, best_of + 1))
        first += size
        size = first - 1


def draw_adaptively(references: Sequence[str], rounds: Iterable[range], draw: Draw, judge: Judge) -> list[Drawn]:
    """Draw samples of every row, wave by wave, until one is accepted or there are no more waves.

    Parameters
    ----------
    references : sequence of str
        The corpus's answer of each row.
    rounds : iterable of range
        Numbers of the samples of each wave.
    draw : callable
        Given pairs of row and sample number, returns an answer to each.
    judge : callable
        Given a row's answers so far and its reference, returns the verdict.
    """
    answers: list[list[Answer]] = [[] for _ in references]
    verdicts: dict[int, Verdict] = {}
    unsolved = list(range(len(references)))
    for numbers in rounds:
        pairs = [(row, number) for row in unsolved for number in numbers]
        for (row, _), answer in zip(pairs, draw(pairs) if pairs else (), strict=True):
            answers[row].append(answer)
        verdicts |= {row: judge(answers[row], references[row]) for row in unsolved}
        unsolved = [row for row in unsolved if verdicts[row].accepted is None]
    return [Drawn(tuple(drawn), verdicts[row]) for row, drawn in enumerate(answers)]
