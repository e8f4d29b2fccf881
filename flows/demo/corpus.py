"""Generators of the demo corpus: a pool with planted faults, held-out rows without any, and a stream of clean rows.

Pure functions of a seed. A digest of its content assigns each question to the held-out side or to the pool side, so
pool, training stream and held-out rows cannot share a question.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from curate.flows.demo.capabilities import CAPABILITIES, Capability

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

POOL_SEED, HELDOUT_SEED, TRAINING_SEED = 11, 12, 13
POOL_ROWS, HELDOUT_ROWS_PER_CAPABILITY = 8000, 150

NOISE_SHARE = 0.13
"""Share of the distinct questions whose answer is replaced by a wrong one."""
DUPLICATE_SHARE = 0.06
"""Share of the pool's rows that repeat an earlier row exactly."""
CONTRADICTION_SHARE = 0.025
"""Share of the pool's rows that ask an already answered question again and answer it wrongly."""
UNUSABLE_ROWS = 12
"""Rows without an answer: ingest must quarantine them."""
INLINE_SHARE = 0.25
"""Share of the rows that carry the data in the instruction and have an empty input."""

POOL_WEIGHTS: Mapping[str, float] = {
    "arithmetic": 1.2,
    "sorting": 1.0,
    "copying": 1.2,
    "reversing": 0.9,
    "recall": 0.8,
    "json": 1.3,
    "shifting": 0.9,
    "lexicon": 1.1,
    "weekday": 0.9,
    "majority": 1.0,
    "replacing": 0.7,
}
"""Relative frequency in the pool: uneven, as in real corpora."""

TRAINING_WEIGHTS: Mapping[str, float] = {
    name: {"recall": 2.5, "weekday": 2.0, "replacing": 1.5, "arithmetic": 1.5}.get(name, 1.0) for name in CAPABILITIES
}
"""Relative frequency in the training stream: tasks that are hard to learn are drawn more often."""


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One row of the corpus and its ground truth; only the first three fields are written to the corpus file."""

    instruction: str
    input: str
    output: str
    capability: str
    clean_answer: str
    question: str
    label_noise: bool = False
    contradiction: bool = False
    usable: bool = True

    @property
    def prompt(self) -> tuple[str, str]:
        """Instruction and input: rows with the same prompt ask the same question."""
        return self.instruction, self.input

    def alpaca(self) -> dict[str, str]:
        """Return the row as the corpus file stores it."""
        return {"instruction": self.instruction, "input": self.input, "output": self.output}


def is_held_out(capability: str, question: str) -> bool:
    """Return whether a question belongs to the held-out side: one in eight, by content."""
    return crc32(f"{capability}\n{question}".encode()) % 8 == 0


def draw_row(capability: Capability, rng: np.random.Generator, held_out: bool) -> DemoRow:
    """Return one clean row whose question belongs to the given side."""
    question, answer = capability.draw(rng)
    while is_held_out(capability.name, question) != held_out:
        question, answer = capability.draw(rng)
    instruction = capability.instructions[int(rng.integers(len(capability.instructions)))]
    if rng.random() < INLINE_SHARE:
        return DemoRow(f"{instruction[:-1]}: {question}", "", answer, capability.name, answer, question)
    return DemoRow(instruction, question, answer, capability.name, answer, question)


def training_rows(seed: int = TRAINING_SEED) -> Iterator[DemoRow]:
    """Yield clean rows without end, none of them on the held-out side."""
    rng = np.random.default_rng(seed)
    capabilities, shares = list(CAPABILITIES.values()), _shares(TRAINING_WEIGHTS)
    while True:
        for index in rng.choice(len(capabilities), 1024, p=shares):
            yield draw_row(capabilities[index], rng, held_out=False)


def heldout(seed: int = HELDOUT_SEED, per_capability: int = HELDOUT_ROWS_PER_CAPABILITY) -> list[DemoRow]:
    """Return the held-out rows: clean, distinct questions, the same number for each capability, capabilities mixed."""
    rng = np.random.default_rng(seed)
    rows = [row for c in CAPABILITIES.values() for row in _distinct(c, rng, per_capability, held_out=True)]
    return [rows[i] for i in rng.permutation(len(rows))]


def pool(seed: int = POOL_SEED, n_rows: int = POOL_ROWS) -> list[DemoRow]:
    """Return the pool with its planted faults, in random order.

    Parameters
    ----------
    seed : int
    n_rows : int
        Total number of rows, at least 400 (below that the shares round to zero).

    Returns
    -------
    list of Row
        ``label_noise`` is true wherever the answer is wrong, repeated wrong rows and the wrong half of a contradiction
        included; ``contradiction`` is true for both halves.
    """
    rng = np.random.default_rng(seed)
    n_duplicates, n_contradictions = round(DUPLICATE_SHARE * n_rows), round(CONTRADICTION_SHARE * n_rows)
    n_distinct = n_rows - n_duplicates - n_contradictions
    counts = _rounded(_shares(POOL_WEIGHTS) * n_distinct)
    rows = [
        row
        for capability, n in zip(CAPABILITIES.values(), counts, strict=True)
        for row in _distinct(capability, rng, int(n), held_out=False)
    ]
    rows = [rows[i] for i in rng.permutation(n_distinct)]
    # Faults go to disjoint ranges of the shuffled rows, so each share is exact.
    n_noisy = round(NOISE_SHARE * n_distinct)
    noisy = [_spoilt(row, rng) for row in rows[:n_noisy]]
    first, last = n_noisy + UNUSABLE_ROWS, n_noisy + UNUSABLE_ROWS + n_contradictions
    unusable = [replace(row, output="", usable=False) for row in rows[n_noisy:first]]
    right = [replace(row, contradiction=True) for row in rows[first:last]]
    wrong = [_spoilt(row, rng) for row in right]
    # No half of a contradiction and no unusable row is repeated: each fault stays countable on its own.
    repeatable = noisy + rows[last:]
    repeats = [repeatable[i] for i in rng.permutation(len(repeatable))[:n_duplicates]]
    everything = [*noisy, *unusable, *right, *wrong, *rows[last:], *repeats]
    return [everything[i] for i in rng.permutation(n_rows)]


def duplicates_of(rows: Sequence[DemoRow]) -> list[int | None]:
    """Return, for each row, the number (from 1) of the earlier row that it repeats exactly, or None."""
    seen: dict[tuple[str, str, str], int] = {}
    originals: list[int | None] = []
    for number, row in enumerate(rows, 1):
        first = seen.setdefault((*row.prompt, row.output), number)
        originals.append(first if first != number and row.usable else None)
    return originals


def _distinct(capability: Capability, rng: np.random.Generator, n: int, held_out: bool) -> list[DemoRow]:
    """Return `n` clean rows with `n` different questions."""
    rows: dict[str, DemoRow] = {}
    while len(rows) < n:
        row = draw_row(capability, rng, held_out)
        rows.setdefault(row.question, row)
    return list(rows.values())


def _spoilt(row: DemoRow, rng: np.random.Generator) -> DemoRow:
    wrong = CAPABILITIES[row.capability].spoil(rng, row.question, row.clean_answer)
    return replace(row, output=wrong, label_noise=True)


def _shares(weights: Mapping[str, float]) -> NDArray[np.float64]:
    total = sum(weights.values())
    return np.array([weights[name] / total for name in CAPABILITIES], dtype=np.float64)


def _rounded(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to integers of the same sum by the largest-remainder method."""
    floors: NDArray[np.int64] = np.floor(counts).astype(np.int64)
    missing = round(counts.sum()) - int(floors.sum())
    floors[np.argsort(floors - counts, kind="stable")[:missing]] += 1
    return floors
