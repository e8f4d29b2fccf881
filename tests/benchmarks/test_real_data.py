"""The comparison on real data runs end to end on generated rows, writes its table, and runs no cell twice."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmark_scripts import load_script
from documents import ROOT

from curate.flows.demo.report import BEGIN, END
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "real-data.md"
TABLES = ROOT / "docs" / "results" / "real-data.md"
WORDS = ("apple", "stone", "river", "cloud", "table", "horse", "green", "paper", "light", "metal")


def corpora(folder: Path, rows: int = 60) -> Path:
    """Write files with the names and columns of the real corpora, and rows of random words."""
    rng = random.Random(0)
    for name in ("alpaca52k", "codealpaca"):
        pairs = [(f"Say {' '.join(rng.sample(WORDS, 3))}", rng.choice(("", "Now."))) for _ in range(3 * rows)]
        columns = {
            "instruction": [question for question, _ in pairs],
            "input": [context for _, context in pairs],
            "output": [question.split()[1] for question, _ in pairs],
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    for name in ("gsm8k", "boolq", "openbookqa", "arc-easy", "arc-challenge"):
        for part in ("train", "test"):
            questions = [f"{name} {part} {n}: {' '.join(rng.sample(WORDS, 2))}?" for n in range(rows)]
            answers = [f"the correct answer is answer{rng.randint(1, 4)}" for _ in questions]
            worked_answers = [f"{rng.randint(1, 9)} things\n#### {rng.randint(1, 9)}" for _ in questions]
            columns = (
                {"question": questions, "answer": worked_answers}
                if name == "gsm8k"
                else {"instruction": questions, "input": [""] * rows, "output": answers, "answer": answers}
            )
            pq.write_table(pa.table(columns), folder / f"{name}_{part}.parquet")
    return folder


@pytest.fixture(scope="module")
def rows() -> Any:
    """Return the module that reads and splits the rows."""
    return load_script("real_rows")


def n_words(pairs: Any) -> list[int]:
    return [len(f"{row.question} {row.answer}".split()) for row in pairs]


def test_no_test_row_is_in_training_and_no_fact_is_in_the_pool(rows: Any, tmp_path: Path) -> None:
    sizes = rows.RowCounts(training=300, pool=200, tests=20, facts=5, validation=16)
    split = rows.split(corpora(tmp_path), sizes, n_words, 9, 0)
    test_questions = {name: {row.question for row in part} for name, part in split.tests.items()}
    assert set(test_questions) == {f"{name}_test" for name in rows.TESTED} | {
        f"{name}_heldout" for name in rows.UNTESTED
    }
    training = {row.question for row in split.training}
    assert not training & set().union(*test_questions.values())
    assert not training & {row.question for row in split.validation}
    pool = {row.question for row in split.pool}
    facts = {row.question for part in split.facts.values() for row in part}
    assert pool < training
    assert facts < training
    assert not pool & facts
    assert (len(split.training), len(split.pool), len(split.validation)) == (300, 200, 16)
    assert all(len(part) <= 5 for part in split.facts.values())


def test_long_rows_are_left_out_everywhere(rows: Any, tmp_path: Path) -> None:
    sizes = rows.RowCounts(training=None, pool=None, tests=1000, facts=5, validation=16)
    corpora(tmp_path)
    unlimited, limited = (rows.split(tmp_path, sizes, n_words, longest, 0) for longest in (100, 9))
    assert unlimited.too_long == 0
    kept = [row for part in (limited.training, limited.validation, *limited.tests.values()) for row in part]
    assert max(n_words(kept)) <= 9 < max(n_words([*unlimited.training, *unlimited.tests["arc-easy_test"]]))
    assert limited.too_long > 0


def test_the_split_depends_on_the_seed_only(rows: Any, tmp_path: Path) -> None:
    sizes = rows.RowCounts(training=None, pool=50, tests=10, facts=5, validation=16)
    corpora(tmp_path)
    first, second, other = (rows.split(tmp_path, sizes, n_words, 100, seed) for seed in (0, 0, 1))
    assert first == second
    assert first.pool != other.pool


def test_chance_is_the_share_of_the_most_frequent_answer(rows: Any) -> None:
    answers = ["The correct answer is true", "the  correct answer is TRUE", "the correct answer is false", "other"]
    assert rows.chance_of([rows.QuestionAnswer("s", "q", answer) for answer in answers]) == 0.5


def test_a_missing_file_is_named(rows: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gsm8k_test.parquet does not exist; pass the folder"):
        rows.split(tmp_path, rows.RowCounts(None, None, 1, 1, 16), n_words, 100, 0)


def test_the_page_states_the_primary_comparison_and_what_was_not_run() -> None:
    tables = TABLES.read_text()
    assert tables.count(BEGIN) == tables.count(END) == 1
    text = " ".join(PAGE.read_text().split())
    assert "`paser` with default settings against `uniform`, 10 % of the pool, the model pruned by 50 %" in text
    assert "never run on a GPU" in text


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "real_data.py"),
        "--size",
        "toy",
        "--device",
        "cpu",
        *arguments,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


@pytest.mark.slow
def test_it_runs_end_to_end_and_no_cell_twice(tmp_path: Path) -> None:
    (tmp_path / "corpora").mkdir()
    work, page, report = (tmp_path / name for name in ("work", "page.md", "report.json"))
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    arguments = (
        "--corpora", str(corpora(tmp_path / "corpora")), "--work", str(work), "--methods", "paser",
        "--docs", str(page), "--json", str(report),
    )  # fmt: skip
    rates = run(*arguments, "--compressions", "wanda", "--try-rates", "1e-3,1e-2")
    assert rates.returncode == 0, rates.stderr
    assert len(re.findall(r"^wanda \S+ \{'compressed': \d\.\d+, 'uniform': \d\.\d+", rates.stdout, re.MULTILINE)) == 2
    assert page.read_text() == f"before\n{BEGIN}\n{END}\nafter\n"

    grid = (*arguments, "--seeds", "2,1")
    first = run(*grid)
    assert first.returncode == 0, first.stderr
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n**A reduced grid**")
    assert text.endswith(f"{END}\nafter\n")
    assert text.count("`paser` (primary)") == 1
    assert text.count("is the baseline: mean retention") >= 2
    assert "### Wanda, 50% of the weights pruned" in text
    assert "### 1 of 2 blocks removed" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120
    facts = json.loads(report.read_text())
    for name, seeds in (("wanda", 2), ("blocks", 1)):
        lines = facts[name]["token_accuracy"]["lines"]
        assert {line["method"] for line in lines} == {"paser", "length-matched", "uniform", "full"}
        assert all(line["seeds"] == seeds for line in lines)
        # Equal tokens for every arm, up to the last step.
        tokens = [line["tokens_trained"] for line in lines]
        assert max(tokens) < 1.3 * min(tokens)
        recall = facts[name]["recall"]
        assert isinstance(recall, str) or all(
            task.startswith("knowledge:") for task in (*recall["capabilities"], *recall["left_out"])
        )
        assert all(task.startswith("rows:") for task in facts[name]["token_accuracy"]["capabilities"])
    cells = {path: path.stat().st_mtime_ns for path in (work / "warehouse" / "evaluation").rglob("*.parquet")}
    assert len(cells) >= (2 + 1) * 4 + 3

    second = run(*grid)
    assert second.returncode == 0, second.stderr
    assert page.read_text() == text
    assert {path: path.stat().st_mtime_ns for path in (work / "warehouse" / "evaluation").rglob("*.parquet")} == cells
    other = run("--corpora", str(tmp_path / "corpora"), "--work", str(work), "--size", "cpu")
    assert other.returncode != 0
    assert "was prepared for another size" in other.stderr
    unclear = run(*arguments, "--seeds", "1,2,3")
    assert unclear.returncode != 0
    assert "neither a number nor one for each of 2 compressions" in unclear.stderr
