"""Rows of the comparison on real data: training, validation and test rows, the pool to select from, recall questions.

Reads a folder of Parquet files and writes JSON lines to a work folder outside the project.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from curate.flows.stages.evaluating.tasks import normalised
from curate.schemas.errors import InputError
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

TESTED = ("gsm8k", "boolq", "openbookqa", "arc-easy", "arc-challenge")
"""Sources with a training file and a test file."""
UNTESTED = ("alpaca52k", "codealpaca")
"""Sources of one file; rows of it are held out."""
MAX_FACT_WORDS = 4
"""Longest free-text answer that is used for a recall question, in words."""
CHOICE_PREFIX = "the correct answer is"
"""Start of the answers to multiple-choice questions."""


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    """One question and its answer."""

    source: str
    question: str
    answer: str


@dataclass(frozen=True)
class RowCounts:
    """How many rows of each kind."""

    training: int | None
    """Training rows, drawn from the training files; None for all."""
    pool: int | None
    """Rows to select from, drawn from the training rows; None for all."""
    tests: int
    """Test rows of each source, at most."""
    facts: int
    """Training rows of each source used as recall questions, at most."""
    validation: int
    """Rows for early stopping; a multiple of sixteen training batches."""


@dataclass(frozen=True)
class Split:
    """Rows by purpose. The pool and the facts are disjoint parts of the training rows.

    No question of `tests` or `validation` is in `training`.
    """

    training: list[QuestionAnswer]
    validation: list[QuestionAnswer]
    tests: dict[str, list[QuestionAnswer]]
    """By task: ``gsm8k_test``, or ``alpaca52k_heldout`` where the source has no test file."""
    pool: list[QuestionAnswer]
    facts: dict[str, list[QuestionAnswer]]
    """Recall questions by source."""
    too_long: int
    """Rows left out because of their length."""


def read_file(corpora: Path, name: str) -> list[QuestionAnswer]:
    """Return the usable rows of ``NAME.parquet``; the source is the name without ``_train`` or ``_test``.

    Raises
    ------
    InputError
        When the file is missing or has other columns.
    """
    path = corpora / f"{name}.parquet"
    if not path.is_file():
        raise InputError(f"{path} does not exist; pass the folder of the corpora with --corpora FOLDER")
    source, rows = name.removesuffix("_train").removesuffix("_test"), []
    for values in pq.read_table(path).to_pylist():
        if "question" in values:
            question, answer = values["question"], values["answer"]
        elif {"instruction", "output"} <= values.keys():
            parts = (values["instruction"], values.get("input") or "")
            question, answer = "\n\n".join(part.strip() for part in parts if part.strip()), values["output"]
        else:
            raise InputError(f"{path} has the columns {', '.join(values)}; question and answer were expected")
        if question.strip() and answer.strip():
            rows.append(QuestionAnswer(source, question.strip(), answer.strip()))
    return rows


def split(
    corpora: Path, sizes: RowCounts, lengths: Callable[[Sequence[QuestionAnswer]], list[int]], longest: int, seed: int
) -> Split:
    """Return the rows by purpose; equal arguments give equal rows.

    Parameters
    ----------
    corpora : Path
    sizes : RowCounts
    lengths : callable
        Maps rows to their lengths in tokens.
    longest : int
        Longest row to use, in tokens.
    seed : int
        Seed of the random draws.
    """
    rng = np.random.default_rng(seed)
    test_files = {f"{name}_test": read_file(corpora, f"{name}_test") for name in TESTED}
    single_files = {name: _shuffled(read_file(corpora, name), rng) for name in UNTESTED}
    train_files = [row for name in TESTED for row in read_file(corpora, f"{name}_train")]
    tests, n_long = {}, 0
    for name, rows in {**{f"{name}_heldout": rows for name, rows in single_files.items()}, **test_files}.items():
        # From the start of a shuffled file, twice what is needed, so that most of the file stays for training.
        fitting, cut = _fitting(rows[: 2 * sizes.tests] if name not in test_files else rows, lengths, longest)
        tests[name], n_long = _shuffled(fitting, rng)[: sizes.tests], n_long + cut
    test_questions = {normalised(row.question) for rows in tests.values() for row in rows}
    candidates = [
        row
        for row in [*train_files, *(r for rows in single_files.values() for r in rows)]
        if normalised(row.question) not in test_questions
    ]
    fitting, cut = _fitting(candidates, lengths, longest)
    fitting = _shuffled(fitting, rng)
    validation = fitting[: sizes.validation]
    validation_questions = {normalised(row.question) for row in validation}
    training = [row for row in fitting[sizes.validation :] if normalised(row.question) not in validation_questions]
    training = training[: sizes.training]
    facts = _facts(training, sizes.facts)
    fact_questions = {normalised(row.question) for rows in facts.values() for row in rows}
    pool = [row for row in training if normalised(row.question) not in fact_questions][: sizes.pool]
    return Split(training, validation, tests, pool, facts, n_long + cut)


def _shuffled(rows: Sequence[QuestionAnswer], rng: np.random.Generator) -> list[QuestionAnswer]:
    return [rows[index] for index in rng.permutation(len(rows))]


def _fitting(
    rows: Sequence[QuestionAnswer], lengths: Callable[[Sequence[QuestionAnswer]], list[int]], longest: int
) -> tuple[list[QuestionAnswer], int]:
    """Return the rows of at most `longest` tokens, and the number of longer ones."""
    kept = [row for row, length in zip(rows, lengths(rows), strict=True) if length <= longest]
    return kept, len(rows) - len(kept)


def _facts(training: Sequence[QuestionAnswer], each: int) -> dict[str, list[QuestionAnswer]]:
    """Return training rows with answers short enough for recall questions, at most `each` of a source."""
    facts: dict[str, list[QuestionAnswer]] = {}
    for row in training:
        short = row.answer.startswith(CHOICE_PREFIX) or len(row.answer.split()) <= MAX_FACT_WORDS
        if short and len(facts.setdefault(row.source, [])) < each:
            facts[row.source].append(row)
    return dict(sorted(facts.items()))


def chance_of(rows: Sequence[QuestionAnswer]) -> float:
    """Return the share of the most frequent answer, at most 0.99: the score of always giving it."""
    counts = Counter(normalised(row.answer) for row in rows)
    return min(counts.most_common(1)[0][1] / len(rows), 0.99)


def write_rows(split_rows: Split, folder: Path) -> dict[str, Any]:
    """Write pool, tests and facts as JSON lines; return the file ``pool`` and the evaluation ``tasks``."""
    atomic.make_folder(folder)
    pool = folder / "pool.jsonl"
    _write(pool, [{"instruction": row.question, "input": "", "output": row.answer} for row in split_rows.pool])
    tasks = []
    for name, rows in split_rows.tests.items():
        _write(folder / f"{name}.jsonl", [{"instruction": r.question, "input": "", "output": r.answer} for r in rows])
        tasks.append(f"rows:{folder / name}.jsonl")
    for name, rows in split_rows.facts.items():
        chance = chance_of(rows)
        questions = [{"question": row.question, "answer": row.answer, "chance": chance} for row in rows]
        _write(folder / f"{name}_facts.jsonl", questions)
        tasks.append(f"knowledge:{folder / name}_facts.jsonl")
    return {"pool": str(pool), "tasks": tasks}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    atomic.write_bytes(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
