"""The rows of the trial on real data: what the model is trained on, what may be selected, and what is asked.

Reads the files of a folder of corpora and writes JSON lines to a work folder, never into the project. Knows nothing
of models, but for a tokenizer that says how long a row is.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from curate.flows.stages.evaluation import plain
from curate.schemas.errors import InputError
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

TESTED = ("gsm8k", "boolq", "openbookqa", "arc-easy", "arc-challenge")
"""Sources with a training file and a test file."""
UNTESTED = ("alpaca52k", "codealpaca")
"""Sources of one file; rows of it are held out."""
LONGEST_FACT = 4
"""Words of the longest answer that is asked for by heart, where the answers are free text."""
CHOSEN = "the correct answer is"
"""How the answers of the sources of questions with options begin."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question and its answer."""

    source: str
    question: str
    answer: str


@dataclass(frozen=True)
class Sizes:
    """How many rows of each kind."""

    training: int | None
    """Rows that the model is trained on, drawn from the training files; all of them where it is None."""
    pool: int | None
    """Rows that may be selected, drawn from the training rows; all of them where it is None."""
    tests: int
    """Rows asked of each source, at most."""
    facts: int
    """Training rows of each source that are asked by heart, at most."""
    validation: int
    """Rows that tell when training should stop; a multiple of sixteen batches of the training."""


@dataclass(frozen=True)
class Split:
    """Rows by what they are for. Only the pool and the facts are trained on beside the training rows they are part of.

    No question of `tests` or `validation` stands in `training`.
    """

    training: list[Row]
    validation: list[Row]
    tests: dict[str, list[Row]]
    """By task: ``gsm8k_test``, or ``alpaca52k_heldout`` where the source has no test file."""
    pool: list[Row]
    facts: dict[str, list[Row]]
    """By source; part of `training`, not of `pool`."""
    too_long: int
    """Rows that were left out for their length."""


def read_file(corpora: Path, name: str) -> list[Row]:
    """Return the usable rows of ``NAME.parquet``; the source is the name without ``_train`` or ``_test``.

    Raises
    ------
    InputError
        When there is no such file, or its columns are others.
    """
    path = corpora / f"{name}.parquet"
    if not path.is_file():
        raise InputError(f"{path} does not exist; pass the folder of the corpora with --corpora FOLDER")
    source, found = name.removesuffix("_train").removesuffix("_test"), []
    for values in pq.read_table(path).to_pylist():
        if "question" in values:
            question, answer = values["question"], values["answer"]
        elif {"instruction", "output"} <= values.keys():
            parts = (values["instruction"], values.get("input") or "")
            question, answer = "\n\n".join(part.strip() for part in parts if part.strip()), values["output"]
        else:
            raise InputError(f"{path} has the columns {', '.join(values)}; question and answer were expected")
        if question.strip() and answer.strip():
            found.append(Row(source, question.strip(), answer.strip()))
    return found


def split(corpora: Path, sizes: Sizes, lengths: Callable[[Sequence[Row]], list[int]], longest: int, seed: int) -> Split:
    """Return the rows by what they are for; equal arguments give equal rows.

    Parameters
    ----------
    corpora : Path
    sizes : Sizes
    lengths : callable
        From rows to their lengths in tokens.
    longest : int
        Rows of more tokens are left out everywhere.
    seed : int
        Of the draws.
    """
    rng = np.random.default_rng(seed)
    asked = {f"{name}_test": read_file(corpora, f"{name}_test") for name in TESTED}
    free = {name: _shuffled(read_file(corpora, name), rng) for name in UNTESTED}
    learnt = [row for name in TESTED for row in read_file(corpora, f"{name}_train")]
    tests, n_long = {}, 0
    for name, rows in {**{f"{name}_heldout": rows for name, rows in free.items()}, **asked}.items():
        fitting, cut = _fitting(rows[: 2 * sizes.tests] if name not in asked else rows, lengths, longest)
        tests[name], n_long = _shuffled(fitting, rng)[: sizes.tests], n_long + cut
    known = {plain(row.question) for rows in tests.values() for row in rows}
    rest = [row for row in [*learnt, *(r for rows in free.values() for r in rows)] if plain(row.question) not in known]
    fitting, cut = _fitting(rest, lengths, longest)
    fitting = _shuffled(fitting, rng)
    validation = fitting[: sizes.validation]
    told = {plain(row.question) for row in validation}
    training = [row for row in fitting[sizes.validation :] if plain(row.question) not in told]
    training = training[: sizes.training]
    facts = _facts(training, sizes.facts)
    by_heart = {plain(row.question) for rows in facts.values() for row in rows}
    pool = [row for row in training if plain(row.question) not in by_heart][: sizes.pool]
    return Split(training, validation, tests, pool, facts, n_long + cut)


def _shuffled(rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    return [rows[place] for place in rng.permutation(len(rows))]


def _fitting(rows: Sequence[Row], lengths: Callable[[Sequence[Row]], list[int]], longest: int) -> tuple[list[Row], int]:
    """Return the rows that are not too long, and how many are."""
    kept = [row for row, length in zip(rows, lengths(rows), strict=True) if length <= longest]
    return kept, len(rows) - len(kept)


def _facts(training: Sequence[Row], each: int) -> dict[str, list[Row]]:
    """Return training rows whose answers are short enough to be asked by heart, at most `each` of a source."""
    found: dict[str, list[Row]] = {}
    for row in training:
        short = row.answer.startswith(CHOSEN) or len(row.answer.split()) <= LONGEST_FACT
        if short and len(found.setdefault(row.source, [])) < each:
            found[row.source].append(row)
    return dict(sorted(found.items()))


def chance_of(rows: Sequence[Row]) -> float:
    """Return the share of the most frequent answer: what a model scores that knows nothing but how answers look."""
    counts = Counter(plain(row.answer) for row in rows)
    return min(counts.most_common(1)[0][1] / len(rows), 0.99)


def write_rows(found: Split, folder: Path) -> dict[str, Any]:
    """Write pool, tests and facts as JSON lines; return ``pool``, the file, and ``tasks``, how they are asked."""
    atomic.make_folder(folder)
    pool = folder / "pool.jsonl"
    _write(pool, [{"instruction": row.question, "input": "", "output": row.answer} for row in found.pool])
    tasks = []
    for name, rows in found.tests.items():
        _write(folder / f"{name}.jsonl", [{"instruction": r.question, "input": "", "output": r.answer} for r in rows])
        tasks.append(f"rows:{folder / name}.jsonl")
    for name, rows in found.facts.items():
        chance = chance_of(rows)
        asked = [{"question": row.question, "answer": row.answer, "chance": chance} for row in rows]
        _write(folder / f"{name}_facts.jsonl", asked)
        tasks.append(f"knowledge:{folder / name}_facts.jsonl")
    return {"pool": str(pool), "tasks": tasks}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    atomic.write_bytes(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
