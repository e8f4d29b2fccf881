"""The eleven synthetic tasks of the demo: generators of a question, its answer and a plausible wrong answer.

Pure functions of a numpy generator. The instructions are in `wording`; `corpus` combines both into rows and plants the
faults. A question is the data only, for instance ``"k7 m2 q9, m"``; an instruction states what to do with it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from curate.flows.demo.wording import CITIES, COLOURS, ENGLISH, GOODS, INSTRUCTIONS, MONTHS, NAMES, WEEKDAYS

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
Draw = Callable[[np.random.Generator], tuple[str, str]]
Spoil = Callable[[np.random.Generator, str, str], str]


@dataclass(frozen=True, slots=True)
class Capability:
    """One task of the demo corpus."""

    name: str
    draw: Draw
    """Returns (question, right answer)."""
    spoil: Spoil
    """Takes (rng, question, right answer) and returns a plausible wrong answer."""

    @property
    def instructions(self) -> tuple[str, ...]:
        """The paraphrases of the task."""
        return INSTRUCTIONS[self.name]


def velni() -> dict[str, str]:
    """Return the invented language of the lexicon task: one two-syllable word for each English word.

    The seed is fixed: another one would change the shipped corpus and the language the shipped model was trained on.
    """
    syllables = [c + v for c in "bdfghklmnprstvz" for v in "aeiou"]
    order = np.random.default_rng(2502).permutation(len(syllables) ** 2)[: len(ENGLISH)]
    words = [syllables[i // len(syllables)] + syllables[i % len(syllables)] for i in order]
    return dict(zip(words, ENGLISH, strict=True))


VELNI = velni()
_VELNI_WORDS = tuple(VELNI)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _letters(rng: np.random.Generator, low: int, high: int) -> list[str]:
    """Return between `low` and `high` distinct letters."""
    return [LETTERS[i] for i in rng.permutation(26)[: int(rng.integers(low, high + 1))]]


def _arithmetic(rng: np.random.Generator) -> tuple[str, str]:
    a, b = (int(n) for n in rng.integers(1, 100, 2))
    return f"{a} {b}", str(a + b)


def _sorting(rng: np.random.Generator) -> tuple[str, str]:
    items = _letters(rng, 4, 7)
    return " ".join(items), " ".join(sorted(items))


def _copying(rng: np.random.Generator) -> tuple[str, str]:
    items = [_pick(rng, (*LETTERS, *"0123456789")) for _ in range(int(rng.integers(5, 9)))]
    return " ".join(items), " ".join(items)


def _reversing(rng: np.random.Generator) -> tuple[str, str]:
    items = _letters(rng, 4, 7)
    return " ".join(items), " ".join(reversed(items))


def _recall(rng: np.random.Generator) -> tuple[str, str]:
    keys = _letters(rng, 3, 5)
    values = [str(v) for v in rng.permutation(10)[: len(keys)]]
    target = int(rng.integers(len(keys)))
    pairs = " ".join(key + value for key, value in zip(keys, values, strict=True))
    return f"{pairs}, {keys[target]}", values[target]


def _json(rng: np.random.Generator) -> tuple[str, str]:
    number = int(rng.integers(10, 100))
    if rng.random() < 0.5:
        record: dict[str, str | int] = {"name": _pick(rng, NAMES), "age": number, "city": _pick(rng, CITIES)}
    else:
        record = {"item": _pick(rng, GOODS), "price": number, "colour": _pick(rng, COLOURS)}
    return " ".join(str(value) for value in record.values()), json.dumps(record)


def _shifting(rng: np.random.Generator) -> tuple[str, str]:
    items = rng.integers(0, 26, int(rng.integers(3, 7)))
    return " ".join(LETTERS[i] for i in items), " ".join(LETTERS[(i + 1) % 26] for i in items)


def _lexicon(rng: np.random.Generator) -> tuple[str, str]:
    words = [_pick(rng, _VELNI_WORDS) for _ in range(2)]
    return " ".join(words), " ".join(VELNI[word] for word in words)


def _weekday(rng: np.random.Generator) -> tuple[str, str]:
    # Dates stay at or below 28, so that no month ends within the delay.
    day, date, later = int(rng.integers(7)), int(rng.integers(1, 20)), int(rng.integers(1, 10))
    month = _pick(rng, MONTHS)
    return f"{WEEKDAYS[day]} {date} {month}, {later}", f"{WEEKDAYS[(day + later) % 7]} {date + later} {month}"


def _majority(rng: np.random.Generator) -> tuple[str, str]:
    # Four votes of seven: a majority for the winner however the other three are cast.
    winner, *others = _letters(rng, 3, 4)
    votes = [winner] * 4 + [_pick(rng, tuple(others)) for _ in range(3)]
    return " ".join(votes[i] for i in rng.permutation(7)), winner


def _replacing(rng: np.random.Generator) -> tuple[str, str]:
    old, new, *rest = _letters(rng, 4, 6)
    items = [old, old, *rest] if rng.random() < 0.7 else [old, *rest]
    items = [items[i] for i in rng.permutation(len(items))]
    return f"{' '.join(items)}, {old} {new}", " ".join(new if item == old else item for item in items)


def _other(rng: np.random.Generator, options: tuple[str, ...], value: str) -> str:
    """Return one of `options` that is not `value`."""
    return _pick(rng, tuple(option for option in options if option != value))


def _spoil_sum(rng: np.random.Generator, question: str, answer: str) -> str:
    """Return a sum that is off by one, by two or by a carry."""
    slips = [slip for slip in (-10, -2, -1, 1, 2, 10) if int(answer) + slip > 0]
    return str(int(answer) + slips[int(rng.integers(len(slips)))])


def _spoil_items(rng: np.random.Generator, question: str, answer: str) -> str:
    """Return the answer with one item changed, or two neighbours exchanged where they differ."""
    items = answer.split(" ")
    # The last item has no right neighbour to be exchanged with.
    i = int(rng.integers(len(items) - 1))
    if rng.random() < 0.5 and items[i] != items[i + 1]:
        items[i], items[i + 1] = items[i + 1], items[i]
    else:
        items[i] = _other(rng, LETTERS, items[i])
    return " ".join(items)


def _spoil_recall(rng: np.random.Generator, question: str, answer: str) -> str:
    """Return the value of another key of the same table."""
    return _other(rng, tuple(pair[1] for pair in question.split(",")[0].split(" ")), answer)


def _spoil_json(rng: np.random.Generator, question: str, answer: str) -> str:
    """Return the object with one of its three values wrong."""
    record = json.loads(answer)
    key = list(record)[int(rng.integers(3))]
    same_kind = {"name": NAMES, "city": CITIES, "item": GOODS, "colour": COLOURS}.get(key)
    if same_kind is None:
        record[key] += int(rng.integers(1, 9))
    else:
        record[key] = _other(rng, same_kind, record[key])
    return json.dumps(record)


def _spoil_lexicon(rng: np.random.Generator, question: str, answer: str) -> str:
    """Return the translation with one word wrong."""
    words = answer.split(" ")
    i = int(rng.integers(len(words)))
    words[i] = _other(rng, ENGLISH, words[i])
    return " ".join(words)


def _spoil_weekday(rng: np.random.Generator, question: str, answer: str) -> str:
    """Return the date with another weekday, or with the date a day off."""
    day, date, month = answer.split(" ")
    if rng.random() < 0.5:
        return f"{_other(rng, WEEKDAYS, day)} {date} {month}"
    return f"{day} {int(date) + 1} {month}"


def _spoil_majority(rng: np.random.Generator, question: str, answer: str) -> str:
    """Return a candidate that lost."""
    return _other(rng, tuple(sorted(Counter(question.split(" ")))), answer)


CAPABILITIES: Mapping[str, Capability] = {
    capability.name: capability
    for capability in (
        Capability("arithmetic", _arithmetic, _spoil_sum),
        Capability("sorting", _sorting, _spoil_items),
        Capability("copying", _copying, _spoil_items),
        Capability("reversing", _reversing, _spoil_items),
        Capability("recall", _recall, _spoil_recall),
        Capability("json", _json, _spoil_json),
        Capability("shifting", _shifting, _spoil_items),
        Capability("lexicon", _lexicon, _spoil_lexicon),
        Capability("weekday", _weekday, _spoil_weekday),
        Capability("majority", _majority, _spoil_majority),
        Capability("replacing", _replacing, _spoil_items),
    )
}
"""The capabilities by name, in the order of the tables in docs/demo.md."""
